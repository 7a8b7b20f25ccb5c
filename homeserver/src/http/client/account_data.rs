//! `/_matrix/client/v3/user/{userId}/account_data/{type}`, also for a room

use axum::{extract::State, http::StatusCode};
use ruma::{OwnedRoomId, OwnedUserId, RoomId, UserId};
use serde_json::{Value, json, value::RawValue};

use crate::{
    http::{ApiError, Json, Path, RawObject, Routes},
    rooms::{Rooms, receipts::FULLY_READ},
    storage::RoomNr,
    sync::{IGNORED_USERS, is_short},
    users::{AccountData, AccountDataError, GLOBAL, PUSH_RULES, PushRules, Requester},
};

/// What was removed is kept as this, so that a sync tells of it.
const REMOVED: &str = "{}";

pub(super) fn routes() -> Routes {
    const GENERAL: &str = "user/{userId}/account_data/{type}";
    const OF_ROOM: &str = "user/{userId}/rooms/{roomId}/account_data/{type}";
    // Removing it (MSC3391) has no stable name yet.
    let unstable = |path: &str| format!("/_matrix/client/unstable/org.matrix.msc3391/{path}");
    Routes::default()
        .v3("GET", GENERAL, get)
        .v3("PUT", GENERAL, put)
        .at("DELETE", &unstable(GENERAL), delete)
        .v3("GET", OF_ROOM, get_of_room)
        .v3("PUT", OF_ROOM, put_of_room)
        .at("DELETE", &unstable(OF_ROOM), delete_of_room)
}

async fn get(
    State(account_data): State<AccountData>,
    State(push_rules): State<PushRules>,
    requester: Requester,
    Path((user_id, kind)): Path<(OwnedUserId, String)>,
) -> Result<Json<Box<RawValue>>, ApiError> {
    own(&requester, &user_id)?;
    if kind == PUSH_RULES {
        // Everybody has the predefined ones, stored or not.
        let json = push_rules.content(requester.user, requester.user_id.as_str()).await?;
        return RawValue::from_string(json).map(Json).map_err(ApiError::internal);
    }
    read(&account_data, &requester, GLOBAL, &kind).await
}

async fn put(
    State(account_data): State<AccountData>,
    requester: Requester,
    Path((user_id, kind)): Path<(OwnedUserId, String)>,
    content: RawObject,
) -> Result<Json<Value>, ApiError> {
    own(&requester, &user_id)?;
    if kind == IGNORED_USERS && !is_short(&content.0) {
        return Err(ApiError::too_large("The list names more users than one may ignore."));
    }
    write(&account_data, &requester, GLOBAL, &kind, content).await
}

async fn delete(
    State(account_data): State<AccountData>,
    requester: Requester,
    Path((user_id, kind)): Path<(OwnedUserId, String)>,
) -> Result<Json<Value>, ApiError> {
    own(&requester, &user_id)?;
    write(&account_data, &requester, GLOBAL, &kind, RawObject(REMOVED.into())).await
}

async fn get_of_room(
    State(account_data): State<AccountData>,
    State(rooms): State<Rooms>,
    requester: Requester,
    Path((user_id, room_id, kind)): Path<(OwnedUserId, OwnedRoomId, String)>,
) -> Result<Json<Box<RawValue>>, ApiError> {
    own(&requester, &user_id)?;
    let room = room_nr(&rooms, &room_id).await?;
    read(&account_data, &requester, room, &kind).await
}

async fn put_of_room(
    State(account_data): State<AccountData>,
    State(rooms): State<Rooms>,
    requester: Requester,
    Path((user_id, room_id, kind)): Path<(OwnedUserId, OwnedRoomId, String)>,
    content: RawObject,
) -> Result<Json<Value>, ApiError> {
    own(&requester, &user_id)?;
    let room = room_nr(&rooms, &room_id).await?;
    write(&account_data, &requester, room, &kind, content).await
}

async fn delete_of_room(
    State(account_data): State<AccountData>,
    State(rooms): State<Rooms>,
    requester: Requester,
    Path((user_id, room_id, kind)): Path<(OwnedUserId, OwnedRoomId, String)>,
) -> Result<Json<Value>, ApiError> {
    own(&requester, &user_id)?;
    let room = room_nr(&rooms, &room_id).await?;
    write(&account_data, &requester, room, &kind, RawObject(REMOVED.into())).await
}

/// Refuses other people's data.
pub(super) fn own(requester: &Requester, user_id: &UserId) -> Result<(), ApiError> {
    if *user_id == *requester.user_id {
        return Ok(());
    }
    Err(ApiError::forbidden("Account data and tags are their user's alone: the path must name you."))
}

/// The room's number; a room that this server does not know can have no data.
pub(super) async fn room_nr(rooms: &Rooms, room_id: &RoomId) -> Result<RoomNr, ApiError> {
    let room = rooms.find(room_id).await?;
    Ok(room.ok_or_else(|| ApiError::not_found("This server knows no such room."))?.nr)
}

async fn read(
    account_data: &AccountData,
    requester: &Requester,
    room: RoomNr,
    kind: &str,
) -> Result<Json<Box<RawValue>>, ApiError> {
    let json = account_data.get(requester.user, room, kind).await?;
    let json = json
        .filter(|json| json != REMOVED)
        .ok_or_else(|| ApiError::not_found("There is no account data of this type."))?;
    RawValue::from_string(json).map(Json).map_err(ApiError::internal)
}

async fn write(
    account_data: &AccountData,
    requester: &Requester,
    room: RoomNr,
    kind: &str,
    content: RawObject,
) -> Result<Json<Value>, ApiError> {
    if matches!(kind, FULLY_READ | PUSH_RULES) {
        let message = format!("`{kind}` is kept by the server and has requests of its own.");
        return Err(ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "M_BAD_JSON", message));
    }
    let content = if is_empty(&content.0) { REMOVED.into() } else { content.0 };
    account_data.put(requester.user, room, kind, content).await?;
    Ok(Json(json!({})))
}

fn is_empty(object: &str) -> bool {
    let inner = object.trim().strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
    inner.is_some_and(|inner| inner.trim().is_empty())
}

impl From<AccountDataError> for ApiError {
    fn from(error: AccountDataError) -> Self {
        match error {
            AccountDataError::TypeTooLong => Self::invalid_param("The type or tag is longer than 255 bytes."),
            AccountDataError::TooMuch => Self::too_large(format!("{error}.")),
            AccountDataError::TooManyTags => Self::too_large("A room can't have more tags."),
            AccountDataError::Storage(error) => error.into(),
            AccountDataError::Log(error) => error.into(),
        }
    }
}
