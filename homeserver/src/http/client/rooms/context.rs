//! `GET /_matrix/client/v3/rooms/{roomId}/context/{eventId}`

use axum::extract::State;
use ruma::{OwnedEventId, OwnedRoomId};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    paging::most,
    read_error::{filter, show, show_bundled},
};
use crate::{
    http::{ApiError, Json, Path, Query, Routes},
    rooms::Rooms,
    sync::Sync,
    users::Requester,
};

pub(super) fn routes() -> Routes {
    Routes::default().v3("GET", "rooms/{roomId}/context/{eventId}", context)
}

#[derive(Deserialize)]
struct Ask {
    limit: Option<u64>,
    filter: Option<String>,
}

#[derive(Serialize)]
struct Answer {
    start: String,
    end: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<Box<RawValue>>,
    events_before: Vec<Box<RawValue>>,
    events_after: Vec<Box<RawValue>>,
    state: Vec<Box<RawValue>>,
}

async fn context(
    State(rooms): State<Rooms>,
    State(sync): State<Sync>,
    requester: Requester,
    Path((room_id, event_id)): Path<(OwnedRoomId, OwnedEventId)>,
    Query(ask): Query<Ask>,
) -> Result<Json<Answer>, ApiError> {
    let filter = filter(ask.filter.as_deref())?;
    let reading = rooms.open(requester.user, &room_id).await?;
    let context = rooms.context(&reading, event_id.as_str(), most(ask.limit), &filter).await?;
    // All in one: what they need besides is asked for once.
    let before = context.before.len();
    let events = context.before.into_iter().chain([context.event]).chain(context.after);
    let mut shown = show_bundled(&rooms, &sync, &requester, events).await?;
    let after = shown.split_off(before + 1);
    Ok(Json(Answer {
        start: context.start.to_string(),
        end: context.end.to_string(),
        event: shown.pop(),
        events_before: shown,
        events_after: after,
        state: show(&rooms, &requester, context.state).await?,
    }))
}
