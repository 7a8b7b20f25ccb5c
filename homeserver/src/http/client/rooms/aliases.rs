//! Aliases: `/directory/room/{roomAlias}` and `/rooms/{roomId}/aliases`.

use axum::extract::State;
use ruma::{OwnedRoomAliasId, OwnedRoomId, OwnedServerName};
use serde::{Deserialize, Serialize};

use crate::{
    http::{ApiError, Json, Path, Routes},
    rooms::{Author, Rooms},
    users::Requester,
};

pub(super) fn routes() -> Routes {
    Routes::default()
        .v3("PUT", "directory/room/{roomAlias}", put)
        .v3("GET", "directory/room/{roomAlias}", get)
        .v3("DELETE", "directory/room/{roomAlias}", delete)
        .v3("GET", "rooms/{roomId}/aliases", list)
}

#[derive(Deserialize)]
struct Target {
    room_id: OwnedRoomId,
}

#[derive(Serialize)]
struct Found {
    room_id: OwnedRoomId,
    servers: [OwnedServerName; 1],
}

#[derive(Serialize)]
struct Aliases {
    aliases: Vec<String>,
}

#[derive(Serialize)]
struct Done {}

async fn put(
    State(rooms): State<Rooms>,
    requester: Requester,
    Path(alias): Path<OwnedRoomAliasId>,
    Json(target): Json<Target>,
) -> Result<Json<Done>, ApiError> {
    rooms.create_alias(&Author::from(&requester), &alias, &target.room_id).await?;
    Ok(Json(Done {}))
}

/// Needs no access token.
async fn get(State(rooms): State<Rooms>, Path(alias): Path<OwnedRoomAliasId>) -> Result<Json<Found>, ApiError> {
    let room_id = rooms.resolve_alias(&alias).await?;
    let room_id = room_id.ok_or_else(|| ApiError::not_found(format!("There is no alias {alias}.")))?;
    Ok(Json(Found { room_id, servers: [rooms.server_name().to_owned()] }))
}

async fn delete(
    State(rooms): State<Rooms>,
    requester: Requester,
    Path(alias): Path<OwnedRoomAliasId>,
) -> Result<Json<Done>, ApiError> {
    rooms.delete_alias(&requester, &alias).await?;
    Ok(Json(Done {}))
}

async fn list(
    State(rooms): State<Rooms>,
    requester: Requester,
    Path(room): Path<OwnedRoomId>,
) -> Result<Json<Aliases>, ApiError> {
    let aliases = rooms.aliases_of(&Author::from(&requester), &room).await?;
    Ok(Json(Aliases { aliases }))
}
