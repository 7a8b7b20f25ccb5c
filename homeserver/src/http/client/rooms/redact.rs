//! `PUT /rooms/{roomId}/redact/{eventId}/{txnId}`

use axum::extract::State;
use roost_spec::canonical_json::Object;
use ruma::{OwnedEventId, OwnedRoomId};
use serde::Deserialize;

use super::send::Sent;
use crate::{
    http::{ApiError, Json, OptionalJson, Path, Routes},
    rooms::Rooms,
    users::Requester,
};

pub(super) fn routes() -> Routes {
    Routes::default().v3("PUT", "rooms/{roomId}/redact/{eventId}/{txnId}", redact)
}

#[derive(Deserialize)]
struct Body {
    reason: Option<String>,
}

async fn redact(
    State(rooms): State<Rooms>,
    requester: Requester,
    Path((room, event, txn_id)): Path<(OwnedRoomId, OwnedEventId, String)>,
    OptionalJson(body): OptionalJson<Body>,
) -> Result<Json<Sent>, ApiError> {
    // A redaction may come before what it redacts, so that any ID passes that an event can have.
    if event.as_str().len() > 255 {
        return Err(ApiError::invalid_param("The event's ID is longer than 255 bytes."));
    }
    let content: Object = body.reason.map(|reason| ("reason", reason)).into_iter().collect();
    let event_id = rooms.redact(&requester, &room, &event, &txn_id, content).await?;
    Ok(Json(Sent { event_id }))
}
