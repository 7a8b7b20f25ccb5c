//! `GET /_matrix/client/v3/rooms/{roomId}/state` and `…/state/{eventType}/{stateKey}`

use axum::extract::State;
use ruma::OwnedRoomId;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::read_error::show;
use crate::{
    http::{ApiError, Json, Path, Query, Routes},
    rooms::{Rooms, render},
    users::Requester,
};

pub(super) fn routes() -> Routes {
    Routes::default()
        .v3("GET", "rooms/{roomId}/state", all)
        .v3("GET", "rooms/{roomId}/state/{eventType}", one_without_key)
        .v3("GET", "rooms/{roomId}/state/{eventType}/", one_without_key)
        .v3("GET", "rooms/{roomId}/state/{eventType}/{stateKey}", one)
}

#[derive(Deserialize)]
struct Ask {
    #[serde(default)]
    format: Format,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "lowercase")]
enum Format {
    #[default]
    Content,
    Event,
}

async fn all(
    State(rooms): State<Rooms>,
    requester: Requester,
    Path(room_id): Path<OwnedRoomId>,
) -> Result<Json<Vec<Box<RawValue>>>, ApiError> {
    let reading = rooms.open(requester.user, &room_id).await?;
    let events = rooms.state_events(&reading.state).await?;
    Ok(Json(show(&rooms, &requester, events).await?))
}

async fn one_without_key(
    rooms: State<Rooms>,
    requester: Requester,
    Path((room_id, kind)): Path<(OwnedRoomId, String)>,
    ask: Query<Ask>,
) -> Result<Json<Box<RawValue>>, ApiError> {
    one(rooms, requester, Path((room_id, kind, String::new())), ask).await
}

async fn one(
    State(rooms): State<Rooms>,
    requester: Requester,
    Path((room_id, kind, key)): Path<(OwnedRoomId, String, String)>,
    Query(ask): Query<Ask>,
) -> Result<Json<Box<RawValue>>, ApiError> {
    let absent = || ApiError::not_found("The room has no state of this type with this key.");
    let reading = rooms.open(requester.user, &room_id).await?;
    let event = rooms.state_event(&reading.state, &kind, &key).await?.ok_or_else(absent)?;
    match ask.format {
        Format::Content => Ok(Json(render::content(&event)?)),
        Format::Event => show(&rooms, &requester, [event]).await?.pop().map(Json).ok_or_else(absent),
    }
}
