//! `/_matrix/client/v3/room_keys/keys`

use std::collections::BTreeMap;

use axum::{extract::State, response::Response};
use ruma::{OwnedRoomId, RoomId};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json, value::RawValue};

use super::{number, stream};
use crate::{
    http::{ApiError, Json, Path, Query},
    keys::{BackupState, Keys, NewSession, SessionData},
    storage::{self, key_backup::Session},
    users::Requester,
};

#[derive(Deserialize)]
pub(super) struct Of {
    version: String,
}

#[derive(Deserialize)]
pub(super) struct AllRooms {
    rooms: BTreeMap<OwnedRoomId, OneRoom>,
}

#[derive(Deserialize)]
pub(super) struct OneRoom {
    sessions: BTreeMap<String, SessionData>,
}

#[derive(Serialize)]
pub(super) struct Shown {
    first_message_index: i64,
    forwarded_count: i64,
    is_verified: bool,
    session_data: Box<RawValue>,
}

type Changed = Result<Json<Value>, ApiError>;

pub(super) async fn put_all(
    State(keys): State<Keys>,
    requester: Requester,
    Query(of): Query<Of>,
    Json(body): Json<AllRooms>,
) -> Changed {
    put(&keys, &requester, &of, body.rooms).await
}

pub(super) async fn put_room(
    State(keys): State<Keys>,
    requester: Requester,
    Path(room_id): Path<OwnedRoomId>,
    Query(of): Query<Of>,
    Json(body): Json<OneRoom>,
) -> Changed {
    put(&keys, &requester, &of, BTreeMap::from([(room_id, body)])).await
}

pub(super) async fn put_one(
    State(keys): State<Keys>,
    requester: Requester,
    Path((room_id, session_id)): Path<(OwnedRoomId, String)>,
    Query(of): Query<Of>,
    Json(data): Json<SessionData>,
) -> Changed {
    let room = OneRoom { sessions: BTreeMap::from([(session_id, data)]) };
    put(&keys, &requester, &of, BTreeMap::from([(room_id, room)])).await
}

async fn put(keys: &Keys, requester: &Requester, of: &Of, rooms: BTreeMap<OwnedRoomId, OneRoom>) -> Changed {
    let mut data = rooms.values().flat_map(|room| room.sessions.values());
    if data.any(|session| !session.session_data.get().starts_with('{')) {
        return Err(ApiError::bad_json("`session_data` must be an object."));
    }
    let sessions = rooms.into_iter().flat_map(|(room_id, room)| {
        room.sessions.into_iter().map(move |(session_id, data)| NewSession {
            room_id: room_id.clone(),
            session_id,
            data,
        })
    });
    let state = keys.put_sessions(requester, number(&of.version)?, sessions.collect()).await?;
    Ok(changed(&state))
}

pub(super) async fn get_all(
    State(keys): State<Keys>,
    requester: Requester,
    Query(of): Query<Of>,
) -> Result<Response, ApiError> {
    let version = number(&of.version)?;
    keys.backup(&requester, Some(version)).await?;
    Ok(stream::all(keys, requester.user, version).await?)
}

pub(super) async fn get_room(
    State(keys): State<Keys>,
    requester: Requester,
    Path(room_id): Path<OwnedRoomId>,
    Query(of): Query<Of>,
) -> Result<Response, ApiError> {
    let version = number(&of.version)?;
    keys.backup(&requester, Some(version)).await?;
    Ok(stream::of_room(keys, requester.user, version, room_id).await?)
}

pub(super) async fn get_one(
    State(keys): State<Keys>,
    requester: Requester,
    Path((room_id, session_id)): Path<(OwnedRoomId, String)>,
    Query(of): Query<Of>,
) -> Result<Json<Shown>, ApiError> {
    let session = keys.session(&requester, number(&of.version)?, &room_id, &session_id).await?;
    Ok(Json(shown(session)?))
}

pub(super) async fn delete_all(State(keys): State<Keys>, requester: Requester, Query(of): Query<Of>) -> Changed {
    delete(&keys, &requester, &of, None, None).await
}

pub(super) async fn delete_room(
    State(keys): State<Keys>,
    requester: Requester,
    Path(room_id): Path<OwnedRoomId>,
    Query(of): Query<Of>,
) -> Changed {
    delete(&keys, &requester, &of, Some(&room_id), None).await
}

pub(super) async fn delete_one(
    State(keys): State<Keys>,
    requester: Requester,
    Path((room_id, session_id)): Path<(OwnedRoomId, String)>,
    Query(of): Query<Of>,
) -> Changed {
    delete(&keys, &requester, &of, Some(&room_id), Some(&session_id)).await
}

async fn delete(
    keys: &Keys,
    requester: &Requester,
    of: &Of,
    room_id: Option<&RoomId>,
    session_id: Option<&str>,
) -> Changed {
    let state = keys.delete_sessions(requester, number(&of.version)?, room_id, session_id).await?;
    Ok(changed(&state))
}

fn changed(state: &BackupState) -> Json<Value> {
    Json(json!({"etag": state.etag.to_string(), "count": state.count}))
}

pub(super) fn shown(session: Session) -> storage::Result<Shown> {
    let data = RawValue::from_string(session.session_data).map_err(|e| storage::Error::Inconsistent(e.to_string()))?;
    Ok(Shown {
        first_message_index: session.first_message_index,
        forwarded_count: session.forwarded_count,
        is_verified: session.is_verified,
        session_data: data,
    })
}
