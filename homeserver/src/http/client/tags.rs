//! `/_matrix/client/v3/user/{userId}/rooms/{roomId}/tags`

use axum::extract::State;
use ruma::{OwnedRoomId, OwnedUserId};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::account_data::{own, room_nr};
use crate::{
    http::{ApiError, Json, Path, Routes},
    rooms::Rooms,
    users::{AccountData, Requester},
};

pub(super) fn routes() -> Routes {
    const ONE: &str = "user/{userId}/rooms/{roomId}/tags/{tag}";
    Routes::default().v3("GET", "user/{userId}/rooms/{roomId}/tags", list).v3("PUT", ONE, put).v3("DELETE", ONE, delete)
}

#[derive(Serialize)]
struct Tags {
    tags: Map<String, Value>,
}

async fn list(
    State(account_data): State<AccountData>,
    State(rooms): State<Rooms>,
    requester: Requester,
    Path((user_id, room_id)): Path<(OwnedUserId, OwnedRoomId)>,
) -> Result<Json<Tags>, ApiError> {
    own(&requester, &user_id)?;
    let room = room_nr(&rooms, &room_id).await?;
    Ok(Json(Tags { tags: account_data.tags(requester.user, room).await? }))
}

async fn put(
    State(account_data): State<AccountData>,
    State(rooms): State<Rooms>,
    requester: Requester,
    Path((user_id, room_id, tag)): Path<(OwnedUserId, OwnedRoomId, String)>,
    Json(value): Json<Map<String, Value>>,
) -> Result<Json<Value>, ApiError> {
    own(&requester, &user_id)?;
    if value.get("order").is_some_and(|order| !order.is_number()) {
        return Err(ApiError::bad_json("A tag's `order` must be a number."));
    }
    let room = room_nr(&rooms, &room_id).await?;
    account_data.set_tag(requester.user, room, &tag, Some(value)).await?;
    Ok(Json(json!({})))
}

async fn delete(
    State(account_data): State<AccountData>,
    State(rooms): State<Rooms>,
    requester: Requester,
    Path((user_id, room_id, tag)): Path<(OwnedUserId, OwnedRoomId, String)>,
) -> Result<Json<Value>, ApiError> {
    own(&requester, &user_id)?;
    let room = room_nr(&rooms, &room_id).await?;
    account_data.set_tag(requester.user, room, &tag, None).await?;
    Ok(Json(json!({})))
}
