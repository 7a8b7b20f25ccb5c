//! `GET /_matrix/client/v3/rooms/{roomId}/initialSync`: a look into one room, as older clients take it.

use axum::extract::State;
use ruma::OwnedRoomId;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    paging::most,
    read_error::{show, show_bundled},
};
use crate::{
    http::{ApiError, Json, Path, Query, Routes},
    rooms::{
        Rooms,
        filter::EventFilter,
        messages::{Direction, PageAsk},
    },
    sync::Sync,
    users::Requester,
};

pub(super) fn routes() -> Routes {
    Routes::default().v3("GET", "rooms/{roomId}/initialSync", look)
}

#[derive(Deserialize)]
struct Ask {
    limit: Option<u64>,
}

#[derive(Serialize)]
struct Answer {
    room_id: OwnedRoomId,
    #[serde(skip_serializing_if = "Option::is_none")]
    membership: Option<&'static str>,
    visibility: &'static str,
    messages: Messages,
    state: Vec<Box<RawValue>>,
    account_data: Vec<Note>,
}

/// A piece of the reader's account data for the room.
#[derive(Serialize)]
struct Note {
    r#type: String,
    content: Box<RawValue>,
}

#[derive(Serialize)]
struct Messages {
    start: String,
    end: String,
    chunk: Vec<Box<RawValue>>,
}

async fn look(
    State(rooms): State<Rooms>,
    State(sync): State<Sync>,
    requester: Requester,
    Path(room_id): Path<OwnedRoomId>,
    Query(ask): Query<Ask>,
) -> Result<Json<Answer>, ApiError> {
    let reading = rooms.open(requester.user, &room_id).await?;
    let public = rooms.is_public(&room_id).await? == Some(true);
    let filter = EventFilter::default();
    let ask =
        PageAsk { from: None, to: None, direction: Direction::Backwards, limit: most(ask.limit), filter: &filter };
    let mut page = rooms.page(&reading, ask).await?;
    // The oldest first, as a timeline.
    page.chunk.reverse();
    let state = rooms.state_events(&reading.state).await?;
    let account_data = sync.room_account_data(requester.user, reading.room.nr).await?.into_iter();
    let account_data = account_data
        .map(|(kind, json)| Ok(Note { r#type: kind, content: RawValue::from_string(json)? }))
        .collect::<Result<_, serde_json::Error>>()
        .map_err(ApiError::internal)?;
    Ok(Json(Answer {
        room_id,
        membership: reading.membership.map(|membership| membership.as_str()),
        visibility: if public { "public" } else { "private" },
        messages: Messages {
            start: page.end.unwrap_or(page.start).to_string(),
            end: page.start.to_string(),
            chunk: show_bundled(&rooms, &sync, &requester, page.chunk).await?,
        },
        state: show(&rooms, &requester, state).await?,
        account_data,
    }))
}
