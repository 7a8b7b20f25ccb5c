//! `GET /_matrix/client/v3/rooms/{roomId}/messages`

use axum::extract::State;
use ruma::OwnedRoomId;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::read_error::{filter, show, show_bundled};
use crate::{
    http::{ApiError, Json, Path, Query, Routes},
    rooms::{
        PageToken, Rooms,
        messages::{Direction, PageAsk},
    },
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

#[derive(Deserialize)]
enum Dir {
    #[serde(rename = "b")]
    Backwards,
    #[serde(rename = "f")]
    Forwards,
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

/// How many events one answer holds at most.
const MOST: u64 = 1000;

/// As many as were asked for, within bounds; 10 where nothing was said.
pub(super) fn most(limit: Option<u64>) -> usize {
    usize::try_from(limit.unwrap_or(10).min(MOST)).unwrap_or(0)
}

/// A token of `/sync` or of a page; nothing may stand for none.
pub(super) fn token(name: &str, text: Option<&str>) -> Result<Option<PageToken>, ApiError> {
    let token = text.filter(|text| !text.is_empty()).map(str::parse).transpose();
    token.map_err(|error| ApiError::invalid_param(format!("The parameter `{name}` is not valid: {error}.")))
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
        direction: match dir {
            Dir::Backwards => Direction::Backwards,
            Dir::Forwards => Direction::Forwards,
        },
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_kept_within_bounds() {
        assert_eq!([None, Some(0), Some(50), Some(u64::MAX)].map(most), [10, 0, 50, 1000]);
    }
}
