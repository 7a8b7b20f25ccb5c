//! Joining, knocking, leaving, inviting, kicking, banning, unbanning, forgetting.

use std::collections::BTreeMap;

use axum::{extract::State, http::StatusCode};
use ruma::{OwnedRoomId, OwnedRoomOrAliasId, OwnedUserId, RoomOrAliasId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{
    account::Account,
    http::{ApiError, Json, OptionalJson, Path, Routes},
    rooms::{Author, Rooms},
    users::Requester,
};

pub(super) fn routes() -> Routes {
    Routes::default()
        .v3("POST", "join/{roomIdOrAlias}", join_by_name)
        .v3("POST", "rooms/{roomId}/join", join)
        .v3("POST", "knock/{roomIdOrAlias}", knock)
        .v3("POST", "rooms/{roomId}/leave", leave)
        .v3("POST", "rooms/{roomId}/invite", invite)
        .v3("POST", "rooms/{roomId}/kick", kick)
        .v3("POST", "rooms/{roomId}/ban", ban)
        .v3("POST", "rooms/{roomId}/unban", unban)
        .v3("POST", "rooms/{roomId}/forget", forget)
}

/// What every change of a membership may carry.
#[derive(Deserialize)]
struct Why {
    reason: Option<String>,
}

/// A join: besides the reason, what the user says of themselves in this room.
#[derive(Deserialize)]
struct Joining {
    reason: Option<String>,
    #[serde(rename = "third_party_signed")]
    _third_party_signed: Option<ThirdPartySigned>,
    #[serde(flatten)]
    said: Map<String, Value>,
}

/// An identity server's word for who accepts an invitation. Invitations by identity servers come from elsewhere, and name
/// their user themselves; here counts its form alone.
#[derive(Deserialize)]
struct ThirdPartySigned {
    #[serde(rename = "sender")]
    _sender: OwnedUserId,
    #[serde(rename = "mxid")]
    _mxid: OwnedUserId,
    #[serde(rename = "token")]
    _token: String,
    #[serde(rename = "signatures")]
    _signatures: BTreeMap<String, BTreeMap<String, String>>,
}

impl Joining {
    fn said(mut self) -> Map<String, Value> {
        if let Some(reason) = self.reason {
            self.said.insert("reason".to_owned(), reason.into());
        }
        self.said
    }
}

/// A change of another user's membership.
#[derive(Deserialize)]
struct Whom {
    user_id: Option<OwnedUserId>,
    reason: Option<String>,
}

impl Whom {
    fn user(&self) -> Result<&OwnedUserId, ApiError> {
        self.user_id.as_ref().ok_or_else(|| {
            ApiError::missing_param(
                "`user_id` must say whom. Third parties can't be invited: there is no identity server.",
            )
        })
    }
}

#[derive(Serialize)]
struct Entered {
    room_id: OwnedRoomId,
}

#[derive(Serialize)]
struct Done {}

/// `POST /join/{roomIdOrAlias}`
async fn join_by_name(
    State(rooms): State<Rooms>,
    State(account): State<Account>,
    requester: Requester,
    Path(room): Path<OwnedRoomOrAliasId>,
    OptionalJson(joining): OptionalJson<Joining>,
) -> Result<Json<Entered>, ApiError> {
    let room_id = rooms.join(&Author::from(&requester), &room, &[], &joining.said()).await?;
    account.carry_over(&requester, &room_id).await;
    Ok(Json(Entered { room_id }))
}

/// `POST /rooms/{roomId}/join`
async fn join(
    State(rooms): State<Rooms>,
    State(account): State<Account>,
    requester: Requester,
    Path(room): Path<OwnedRoomId>,
    OptionalJson(joining): OptionalJson<Joining>,
) -> Result<Json<Entered>, ApiError> {
    let room = <&RoomOrAliasId>::from(&*room);
    let room_id = rooms.join(&Author::from(&requester), room, &[], &joining.said()).await?;
    account.carry_over(&requester, &room_id).await;
    Ok(Json(Entered { room_id }))
}

/// `POST /knock/{roomIdOrAlias}`
async fn knock(
    State(rooms): State<Rooms>,
    requester: Requester,
    Path(room): Path<OwnedRoomOrAliasId>,
    OptionalJson(why): OptionalJson<Why>,
) -> Result<Json<Entered>, ApiError> {
    let room_id = rooms.knock(&Author::from(&requester), &room, &[], why.reason.as_deref()).await?;
    Ok(Json(Entered { room_id }))
}

/// `POST /rooms/{roomId}/leave`
async fn leave(
    State(rooms): State<Rooms>,
    requester: Requester,
    Path(room): Path<OwnedRoomId>,
    OptionalJson(why): OptionalJson<Why>,
) -> Result<Json<Done>, ApiError> {
    rooms.leave(&Author::from(&requester), &room, why.reason.as_deref()).await?;
    Ok(Json(Done {}))
}

/// `POST /rooms/{roomId}/invite`
async fn invite(
    State(rooms): State<Rooms>,
    requester: Requester,
    Path(room): Path<OwnedRoomId>,
    Json(whom): Json<Whom>,
) -> Result<Json<Done>, ApiError> {
    rooms.invite(&Author::from(&requester), &room, whom.user()?, whom.reason.as_deref()).await?;
    Ok(Json(Done {}))
}

/// `POST /rooms/{roomId}/kick`
async fn kick(
    State(rooms): State<Rooms>,
    requester: Requester,
    Path(room): Path<OwnedRoomId>,
    Json(whom): Json<Whom>,
) -> Result<Json<Done>, ApiError> {
    rooms.kick(&Author::from(&requester), &room, whom.user()?, whom.reason.as_deref()).await?;
    Ok(Json(Done {}))
}

/// `POST /rooms/{roomId}/ban`
async fn ban(
    State(rooms): State<Rooms>,
    requester: Requester,
    Path(room): Path<OwnedRoomId>,
    Json(whom): Json<Whom>,
) -> Result<Json<Done>, ApiError> {
    rooms.ban(&Author::from(&requester), &room, whom.user()?, whom.reason.as_deref()).await?;
    Ok(Json(Done {}))
}

/// `POST /rooms/{roomId}/unban`
async fn unban(
    State(rooms): State<Rooms>,
    requester: Requester,
    Path(room): Path<OwnedRoomId>,
    Json(whom): Json<Whom>,
) -> Result<Json<Done>, ApiError> {
    rooms.unban(&Author::from(&requester), &room, whom.user()?, whom.reason.as_deref()).await?;
    Ok(Json(Done {}))
}

/// `POST /rooms/{roomId}/forget`
async fn forget(
    State(rooms): State<Rooms>,
    requester: Requester,
    Path(room): Path<OwnedRoomId>,
) -> Result<Json<Done>, ApiError> {
    if rooms.forget(&Author::from(&requester), &room).await? {
        return Ok(Json(Done {}));
    }
    let message = "You are still in this room: leave it before you forget it.";
    Err(ApiError::new(StatusCode::BAD_REQUEST, "M_UNKNOWN", message))
}
