//! `GET /_matrix/client/v3/rooms/{roomId}/event/{eventId}`

use axum::extract::State;
use ruma::{OwnedEventId, OwnedRoomId};
use serde_json::value::RawValue;

use super::read_error::show_bundled;
use crate::{
    http::{ApiError, Json, Path, Routes},
    rooms::{Rooms, access::ReadError},
    sync::Sync,
    users::Requester,
};

pub(super) fn routes() -> Routes {
    Routes::default().v3("GET", "rooms/{roomId}/event/{eventId}", event)
}

async fn event(
    State(rooms): State<Rooms>,
    State(sync): State<Sync>,
    requester: Requester,
    Path((room_id, event_id)): Path<(OwnedRoomId, OwnedEventId)>,
) -> Result<Json<Box<RawValue>>, ApiError> {
    // What one may not see is not there, whatever the reason.
    let reading = match rooms.open(requester.user, &room_id).await {
        Err(ReadError::Forbidden) => return Err(ReadError::NotFound.into()),
        opened => opened?,
    };
    let event = rooms.visible(&reading, event_id.as_str()).await?;
    show_bundled(&rooms, &sync, &requester, [event]).await?.pop().map(Json).ok_or_else(|| ReadError::NotFound.into())
}
