//! `/directory/list/room/{roomId}`: whether the public directory lists a room.

use axum::extract::State;
use ruma::OwnedRoomId;
use serde::{Deserialize, Serialize};

use crate::{
    http::{ApiError, Json, OptionalJson, Path, Routes},
    rooms::Rooms,
    users::Requester,
};

pub(super) fn routes() -> Routes {
    Routes::default().v3("GET", "directory/list/room/{roomId}", get).v3("PUT", "directory/list/room/{roomId}", put)
}

#[derive(Clone, Copy, Default, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
enum Visibility {
    #[default]
    Public,
    Private,
}

#[derive(Deserialize, Serialize)]
struct Listed {
    #[serde(default)]
    visibility: Visibility,
}

#[derive(Serialize)]
struct Done {}

/// Needs no access token.
async fn get(State(rooms): State<Rooms>, Path(room): Path<OwnedRoomId>) -> Result<Json<Listed>, ApiError> {
    let public = rooms.is_public(&room).await?;
    let public = public.ok_or_else(|| ApiError::not_found("There is no such room here."))?;
    Ok(Json(Listed { visibility: if public { Visibility::Public } else { Visibility::Private } }))
}

async fn put(
    State(rooms): State<Rooms>,
    requester: Requester,
    Path(room): Path<OwnedRoomId>,
    OptionalJson(wish): OptionalJson<Listed>,
) -> Result<Json<Done>, ApiError> {
    rooms.set_public(&requester, &room, matches!(wish.visibility, Visibility::Public)).await?;
    Ok(Json(Done {}))
}
