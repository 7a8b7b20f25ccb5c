//! `PUT /rooms/{roomId}/send/{eventType}/{txnId}`

use std::sync::Arc;

use axum::extract::State;
use ruma::OwnedRoomId;
use serde::Serialize;

use crate::{
    http::{ApiError, Json, Path, RawObject, Routes},
    presence::Presence,
    rooms::Rooms,
    users::Requester,
};

pub(super) fn routes() -> Routes {
    Routes::default().v3("PUT", "rooms/{roomId}/send/{eventType}/{txnId}", send)
}

/// The event that a request wrote.
#[derive(Serialize)]
pub(super) struct Sent {
    pub event_id: Arc<str>,
}

async fn send(
    State(rooms): State<Rooms>,
    State(presence): State<Presence>,
    requester: Requester,
    Path((room, kind, txn_id)): Path<(OwnedRoomId, String, String)>,
    RawObject(content): RawObject,
) -> Result<Json<Sent>, ApiError> {
    let event_id = rooms.send(&requester, &room, &kind, &content, &txn_id).await?;
    presence.active(&requester);
    Ok(Json(Sent { event_id }))
}
