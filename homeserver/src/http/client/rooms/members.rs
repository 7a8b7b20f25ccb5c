//! `GET /_matrix/client/v3/rooms/{roomId}/members`, `…/joined_members` and `GET …/joined_rooms`

use std::collections::BTreeMap;

use axum::extract::State;
use ruma::{OwnedRoomId, RoomId};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{paging::token, read_error::show};
use crate::{
    http::{ApiError, Json, Path, Query, Routes},
    rooms::{Rooms, access::ReadError, state_read::MembersAsk, visibility::HistoryVisibility},
    storage::Membership,
    users::Requester,
};

pub(super) fn routes() -> Routes {
    Routes::default()
        .v3("GET", "rooms/{roomId}/members", members)
        .v3("GET", "rooms/{roomId}/joined_members", joined_members)
        .v3("GET", "joined_rooms", joined_rooms)
}

#[derive(Deserialize)]
struct Ask {
    at: Option<String>,
    membership: Option<String>,
    not_membership: Option<String>,
}

#[derive(Serialize)]
struct Members {
    chunk: Vec<Box<RawValue>>,
}

async fn members(
    State(rooms): State<Rooms>,
    requester: Requester,
    Path(room_id): Path<OwnedRoomId>,
    Query(ask): Query<Ask>,
) -> Result<Json<Members>, ApiError> {
    let at = token("at", ask.at.as_deref())?;
    let wanted =
        MembersAsk { only: membership(ask.membership.as_deref())?, not: membership(ask.not_membership.as_deref())? };
    let reading = rooms.open(requester.user, &room_id).await?;
    let state = match at {
        Some(at) => rooms.state_at(&reading, at).await?,
        None => reading.state,
    };
    let events = rooms.member_events(&state, wanted).await?;
    Ok(Json(Members { chunk: show(&rooms, &requester, events).await? }))
}

fn membership(word: Option<&str>) -> Result<Option<Membership>, ApiError> {
    let read = |word| {
        Membership::parse(word).ok_or_else(|| ApiError::invalid_param(format!("There is no membership `{word}`.")))
    };
    word.map(read).transpose()
}

#[derive(Serialize)]
struct Joined {
    joined: BTreeMap<String, Profile>,
}

#[derive(Serialize)]
struct Profile {
    display_name: Option<String>,
    avatar_url: Option<String>,
}

async fn joined_members(
    State(rooms): State<Rooms>,
    requester: Requester,
    Path(room_id): Path<OwnedRoomId>,
) -> Result<Json<Joined>, ApiError> {
    let reading = rooms.open(requester.user, &room_id).await?;
    // Apart from rooms that anybody may look into, this is for those inside.
    if reading.membership != Some(Membership::Join)
        && rooms.history_visibility(&reading.current).await? != HistoryVisibility::WorldReadable
    {
        return Err(ReadError::Forbidden.into());
    }
    let profiles = rooms.joined_profiles(&reading.state).await?.into_iter();
    let joined = profiles.map(|p| (p.user_id, Profile { display_name: p.display_name, avatar_url: p.avatar_url }));
    Ok(Json(Joined { joined: joined.collect() }))
}

#[derive(Serialize)]
struct JoinedRooms {
    joined_rooms: Vec<OwnedRoomId>,
}

async fn joined_rooms(State(rooms): State<Rooms>, requester: Requester) -> Result<Json<JoinedRooms>, ApiError> {
    let numbers = rooms.joined_rooms(requester.user).await?;
    let known = rooms.find_many(&numbers).await?;
    let id = |room: &std::sync::Arc<crate::rooms::Room>| -> OwnedRoomId { RoomId::to_owned(&room.id) };
    Ok(Json(JoinedRooms { joined_rooms: numbers.iter().filter_map(|nr| known.get(nr)).map(id).collect() }))
}
