//! `GET /_matrix/client/v1/rooms/{roomId}/relations/{eventId}[/{relType}[/{eventType}]]` and `…/threads`

use axum::extract::State;
use ruma::{OwnedEventId, OwnedRoomId};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{
    paging::{Dir, most, token},
    read_error::show_bundled,
};
use crate::{
    http::{ApiError, Json, Path, Query, Routes},
    rooms::{
        Rooms,
        messages::Direction,
        relations::{ChildrenAsk, GENERATIONS, ThreadsAsk},
    },
    sync::Sync,
    users::Requester,
};

pub(super) fn routes() -> Routes {
    let path = "rooms/{roomId}/relations/{eventId}";
    let mut routes = Routes::default().v1("GET", "rooms/{roomId}/threads", threads);
    // Today's clients still ask under the name that this had before it was released.
    for prefix in ["/_matrix/client/v1", "/_matrix/client/unstable"] {
        routes = routes
            .at("GET", &format!("{prefix}/{path}"), all)
            .at("GET", &format!("{prefix}/{path}/{{relType}}"), of_type)
            .at("GET", &format!("{prefix}/{path}/{{relType}}/{{eventType}}"), of_event_type);
    }
    routes
}

#[derive(Deserialize)]
struct Ask {
    from: Option<String>,
    to: Option<String>,
    limit: Option<u64>,
    dir: Option<Dir>,
    recurse: Option<bool>,
}

#[derive(Serialize)]
struct Answer {
    chunk: Vec<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_batch: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prev_batch: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recursion_depth: Option<i32>,
}

async fn all(
    rooms: State<Rooms>,
    sync: State<Sync>,
    requester: Requester,
    Path((room, event)): Path<(OwnedRoomId, OwnedEventId)>,
    ask: Query<Ask>,
) -> Result<Json<Answer>, ApiError> {
    children(rooms, sync, requester, (room, event), None, None, ask).await
}

async fn of_type(
    rooms: State<Rooms>,
    sync: State<Sync>,
    requester: Requester,
    Path((room, event, rel_type)): Path<(OwnedRoomId, OwnedEventId, String)>,
    ask: Query<Ask>,
) -> Result<Json<Answer>, ApiError> {
    children(rooms, sync, requester, (room, event), Some(&rel_type), None, ask).await
}

async fn of_event_type(
    rooms: State<Rooms>,
    sync: State<Sync>,
    requester: Requester,
    Path((room, event, rel_type, kind)): Path<(OwnedRoomId, OwnedEventId, String, String)>,
    ask: Query<Ask>,
) -> Result<Json<Answer>, ApiError> {
    children(rooms, sync, requester, (room, event), Some(&rel_type), Some(&kind), ask).await
}

async fn children(
    State(rooms): State<Rooms>,
    State(sync): State<Sync>,
    requester: Requester,
    (room, event): (OwnedRoomId, OwnedEventId),
    rel_type: Option<&str>,
    kind: Option<&str>,
    Query(ask): Query<Ask>,
) -> Result<Json<Answer>, ApiError> {
    let recurse = ask.recurse == Some(true);
    let wanted = ChildrenAsk {
        target: event.as_str(),
        rel_type,
        kind,
        from: token("from", ask.from.as_deref())?,
        to: token("to", ask.to.as_deref())?,
        direction: ask.dir.map_or(Direction::Backwards, Direction::from),
        limit: positive(ask.limit),
        recurse,
    };
    let reading = rooms.open(requester.user, &room).await?;
    let page = rooms.children(&reading, wanted).await?;
    Ok(Json(Answer {
        chunk: show_bundled(&rooms, &sync, &requester, page.chunk).await?,
        next_batch: page.next.map(|next| next.to_string()),
        prev_batch: ask.from.filter(|from| !from.is_empty()),
        recursion_depth: recurse.then_some(GENERATIONS),
    }))
}

/// A page without room for anything would never end.
fn positive(limit: Option<u64>) -> usize {
    most(limit).max(1)
}

#[derive(Deserialize)]
struct AskThreads {
    from: Option<String>,
    limit: Option<u64>,
    #[serde(default)]
    include: Include,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Include {
    #[default]
    All,
    Participated,
}

async fn threads(
    State(rooms): State<Rooms>,
    State(sync): State<Sync>,
    requester: Requester,
    Path(room): Path<OwnedRoomId>,
    Query(ask): Query<AskThreads>,
) -> Result<Json<Answer>, ApiError> {
    let from = token("from", ask.from.as_deref())?;
    let reading = rooms.open(requester.user, &room).await?;
    let ignored = sync.ignored(requester.user).await?;
    let wanted = ThreadsAsk {
        from,
        limit: positive(ask.limit),
        participated: matches!(ask.include, Include::Participated),
        ignored: &ignored,
    };
    let page = rooms.threads(&reading, wanted).await?;
    Ok(Json(Answer {
        chunk: show_bundled(&rooms, &sync, &requester, page.roots).await?,
        next_batch: page.next.map(|next| next.to_string()),
        prev_batch: None,
        recursion_depth: None,
    }))
}
