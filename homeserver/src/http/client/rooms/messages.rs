//! `GET /_matrix/client/v3/rooms/{roomId}/messages`

use axum::extract::State;
use ruma::OwnedRoomId;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    paging::{Dir, most, token},
    read_error::{filter, show, show_bundled},
};
use crate::{
    http::{ApiError, Json, Path, Query, Routes},
    rooms::{Rooms, messages::PageAsk},
    sync::Sync,
    users::Requester,
};

pub(super) fn routes() -> Routes {
    Routes::default().v3("GET", "rooms/{roomId}/messages", messages)
}

#[derive(Deserialize)]
struct Ask {
    dir: Option<Dir>,
    from: Option<String>,
    to: Option<String>,
    limit: Option<u64>,
    filter: Option<String>,
}

#[derive(Serialize)]
struct Answer {
    start: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    end: Option<String>,
    chunk: Vec<Box<RawValue>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    state: Vec<Box<RawValue>>,
}

async fn messages(
    State(rooms): State<Rooms>,
    State(sync): State<Sync>,
    requester: Requester,
    Path(room_id): Path<OwnedRoomId>,
    Query(ask): Query<Ask>,
) -> Result<Json<Answer>, ApiError> {
    // Who may not look is told that first.
    let reading = rooms.open(requester.user, &room_id).await?;
    let dir = ask.dir.ok_or_else(|| ApiError::missing_param("`dir` must say which way: `b` or `f`."))?;
    let page_ask = PageAsk {
        from: token("from", ask.from.as_deref())?,
        to: token("to", ask.to.as_deref())?,
        direction: dir.into(),
        limit: most(ask.limit),
        filter: &filter(ask.filter.as_deref())?,
    };
    let page = rooms.page(&reading, page_ask).await?;
    Ok(Json(Answer {
        // The very text that was given: clients compare it.
        start: ask.from.filter(|from| !from.is_empty()).unwrap_or_else(|| page.start.to_string()),
        end: page.end.map(|end| end.to_string()),
        chunk: show_bundled(&rooms, &sync, &requester, page.chunk).await?,
        state: show(&rooms, &requester, page.members).await?,
    }))
}
