//! `PUT /_matrix/client/v3/rooms/{roomId}/typing/{userId}`

use std::time::Duration;

use axum::extract::State;
use ruma::{OwnedRoomId, OwnedUserId};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    http::{ApiError, Json, Path, Routes},
    presence::Presence,
    rooms::Rooms,
    storage::Membership,
    users::Requester,
};

pub(super) fn routes() -> Routes {
    Routes::default().v3("PUT", "rooms/{roomId}/typing/{userId}", typing)
}

#[derive(Deserialize)]
struct Body {
    typing: bool,
    /// Milliseconds.
    timeout: Option<u64>,
}

async fn typing(
    State(rooms): State<Rooms>,
    State(presence): State<Presence>,
    requester: Requester,
    Path((room_id, user_id)): Path<(OwnedRoomId, OwnedUserId)>,
    Json(body): Json<Body>,
) -> Result<Json<Value>, ApiError> {
    if user_id != requester.user_id {
        return Err(ApiError::forbidden("Only you can say that you are typing."));
    }
    let outside = || ApiError::forbidden("You are not in this room.");
    let room = rooms.find(&room_id).await?.ok_or_else(outside)?;
    if rooms.membership(room.nr, requester.user).await? != Some(Membership::Join) {
        return Err(outside());
    }
    let lasts = if body.typing { Duration::from_millis(body.timeout.unwrap_or(30_000)) } else { Duration::ZERO };
    presence.active(&requester);
    presence.set_typing(room.nr, requester.user, lasts);
    Ok(Json(json!({})))
}
