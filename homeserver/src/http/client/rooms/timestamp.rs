//! `GET /_matrix/client/v1/rooms/{roomId}/timestamp_to_event`

use axum::extract::State;
use ruma::OwnedRoomId;
use serde::{Deserialize, Serialize};

use crate::{
    http::{ApiError, Json, Path, Query, Routes},
    rooms::{Rooms, access::ReadError, messages::Direction},
    users::Requester,
};

pub(super) fn routes() -> Routes {
    let path = "rooms/{roomId}/timestamp_to_event";
    let old = format!("/_matrix/client/unstable/org.matrix.msc3030/{path}");
    Routes::default().v1("GET", path, closest).at("GET", &old, closest)
}

#[derive(Deserialize)]
struct Ask {
    ts: u64,
    dir: Dir,
}

#[derive(Deserialize)]
enum Dir {
    #[serde(rename = "f")]
    Forwards,
    #[serde(rename = "b")]
    Backwards,
}

#[derive(Serialize)]
struct Answer {
    event_id: String,
    origin_server_ts: i64,
}

async fn closest(
    State(rooms): State<Rooms>,
    requester: Requester,
    Path(room): Path<OwnedRoomId>,
    Query(ask): Query<Ask>,
) -> Result<Json<Answer>, ApiError> {
    let direction = match ask.dir {
        Dir::Forwards => Direction::Forwards,
        Dir::Backwards => Direction::Backwards,
    };
    let reading = rooms.open(requester.user, &room).await?;
    let ts = i64::try_from(ask.ts).unwrap_or(i64::MAX);
    let found = rooms.closest(&reading, ts, direction).await.map_err(|error| match error {
        ReadError::NotFound => ApiError::not_found("No event that you may see was sent on that side of the time."),
        other => other.into(),
    })?;
    Ok(Json(Answer { event_id: found.event.id.to_string(), origin_server_ts: found.event.ts }))
}
