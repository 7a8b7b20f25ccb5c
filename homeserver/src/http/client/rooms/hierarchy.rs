//! `GET /_matrix/client/v1/rooms/{roomId}/hierarchy`

use axum::extract::State;
use ruma::OwnedRoomId;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    http::{ApiError, Json, Path, Query, Routes},
    rooms::{
        Branch, Rooms,
        card::{Card, Outside},
        hierarchy::{HierarchyAsk, HierarchyError, HierarchyToken},
        render,
    },
    users::Requester,
};

pub(super) fn routes() -> Routes {
    let path = "rooms/{roomId}/hierarchy";
    let old = format!("/_matrix/client/unstable/org.matrix.msc2946/{path}");
    Routes::default().v1("GET", path, hierarchy).at("GET", &old, hierarchy)
}

/// So many rooms one answer holds at most.
const MOST: u64 = 50;

#[derive(Deserialize)]
struct Ask {
    suggested_only: Option<bool>,
    limit: Option<u64>,
    max_depth: Option<u64>,
    from: Option<String>,
}

#[derive(Serialize)]
struct Answer {
    rooms: Vec<Shown>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_batch: Option<String>,
}

#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    card: Card,
    #[serde(flatten)]
    outside: Outside,
    children_state: Vec<Box<RawValue>>,
}

async fn hierarchy(
    State(rooms): State<Rooms>,
    requester: Requester,
    Path(room): Path<OwnedRoomId>,
    Query(ask): Query<Ask>,
) -> Result<Json<Answer>, ApiError> {
    let from: Option<HierarchyToken> = ask
        .from
        .as_deref()
        .filter(|from| !from.is_empty())
        .map(str::parse)
        .transpose()
        .map_err(|error| ApiError::invalid_param(format!("The parameter `from` is not valid: {error}.")))?;
    let wanted = HierarchyAsk {
        limit: usize::try_from(ask.limit.unwrap_or(MOST).clamp(1, MOST)).unwrap_or(1),
        max_depth: ask.max_depth,
        suggested_only: ask.suggested_only == Some(true),
        from,
    };
    let page = rooms.hierarchy(requester.user, &room, wanted).await?;
    Ok(Json(Answer {
        rooms: page.rooms.iter().map(show).collect::<Result<_, ApiError>>()?,
        next_batch: page.next.map(|next| next.to_string()),
    }))
}

fn show(room: &Branch) -> Result<Shown, ApiError> {
    let card = (*room.card).clone();
    let children_state = room.children.iter().map(|child| render::stripped_with_time(child));
    Ok(Shown { outside: card.outside.clone(), card, children_state: children_state.collect::<Result<_, _>>()? })
}

impl From<HierarchyError> for ApiError {
    fn from(error: HierarchyError) -> Self {
        match error {
            HierarchyError::Changed => Self::invalid_param(format!("{error}.")),
            HierarchyError::Read(error) => error.into(),
        }
    }
}
