//! `PUT /rooms/{roomId}/state/{eventType}/{stateKey}`

use axum::extract::State;
use ruma::OwnedRoomId;

use super::send::Sent;
use crate::{
    http::{
        ApiError, Json, Path, RawObject, Routes,
        limits::{Limited, Limits},
    },
    rooms::{Rooms, is_invitation},
    users::Requester,
};

pub(super) fn routes() -> Routes {
    Routes::default()
        .v3("PUT", "rooms/{roomId}/state/{eventType}/{stateKey}", put)
        .v3("PUT", "rooms/{roomId}/state/{eventType}/", put_without_key)
        .v3("PUT", "rooms/{roomId}/state/{eventType}", put_without_key)
}

async fn put(
    State(rooms): State<Rooms>,
    State(limits): State<Limits>,
    requester: Requester,
    Path((room, kind, state_key)): Path<(OwnedRoomId, String, String)>,
    RawObject(content): RawObject,
) -> Result<Json<Sent>, ApiError> {
    if is_invitation(&kind, &content) {
        limits.take(Limited::Invites, requester.user)?;
    }
    let event_id = rooms.set_state(&requester, &room, &kind, &state_key, &content).await?;
    Ok(Json(Sent { event_id }))
}

/// An empty state key may be left out, with the slash or without.
async fn put_without_key(
    State(rooms): State<Rooms>,
    requester: Requester,
    Path((room, kind)): Path<(OwnedRoomId, String)>,
    RawObject(content): RawObject,
) -> Result<Json<Sent>, ApiError> {
    let event_id = rooms.set_state(&requester, &room, &kind, "", &content).await?;
    Ok(Json(Sent { event_id }))
}
