//! `POST /user_directory/search` and `GET /mutual_rooms`

use axum::extract::State;
use ruma::{OwnedRoomId, OwnedUserId};
use serde::{Deserialize, Serialize};

use crate::{
    http::{ApiError, Json, Query, Routes},
    rooms::Rooms,
    users::{Requester, Users},
};

pub(super) fn routes() -> Routes {
    let old = "/_matrix/client/unstable/uk.half-shot.msc2666/user/mutual_rooms";
    Routes::default()
        .v3("POST", "user_directory/search", search)
        .v1("GET", "mutual_rooms", mutual)
        .at("GET", old, mutual)
}

/// So many users one answer holds at most, and where nothing is said.
const MOST: u64 = 50;
const USUAL: u64 = 10;
/// So many rooms one answer holds.
const PAGE: usize = 500;

#[derive(Deserialize)]
struct Body {
    search_term: String,
    limit: Option<u64>,
}

#[derive(Serialize)]
struct Answer {
    results: Vec<Found>,
    limited: bool,
}

#[derive(Serialize)]
struct Found {
    user_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    display_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    avatar_url: Option<String>,
}

async fn search(
    State(users): State<Users>,
    requester: Requester,
    Json(body): Json<Body>,
) -> Result<Json<Answer>, ApiError> {
    let limit = usize::try_from(body.limit.unwrap_or(USUAL).min(MOST)).unwrap_or(0);
    let (found, limited) = users.search(requester.user, &body.search_term, limit).await?;
    let show = |user: crate::users::Found| Found {
        user_id: user.user_id.to_string(),
        display_name: user.display_name,
        avatar_url: user.avatar_url,
    };
    Ok(Json(Answer { results: found.into_iter().map(show).collect(), limited }))
}

#[derive(Deserialize)]
struct Ask {
    user_id: OwnedUserId,
    from: Option<String>,
}

#[derive(Serialize)]
struct Mutual {
    joined: Vec<OwnedRoomId>,
    count: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_batch: Option<String>,
}

async fn mutual(
    State(rooms): State<Rooms>,
    requester: Requester,
    Query(ask): Query<Ask>,
) -> Result<Json<Mutual>, ApiError> {
    if ask.user_id == requester.user_id {
        return Err(ApiError::invalid_param("Rooms in common are asked for with another user, not with yourself."));
    }
    let invalid = || ApiError::invalid_param("The parameter `from` is not a token that this server gave out.");
    let skip = match ask.from.as_deref().filter(|from| !from.is_empty()) {
        Some(from) => from.strip_prefix('m').and_then(|at| at.parse::<u16>().ok()).ok_or_else(invalid)?,
        None => 0,
    };
    let mut joined = rooms.rooms_in_common(requester.user, &ask.user_id).await?;
    let (count, skip) = (joined.len(), usize::from(skip).min(joined.len()));
    joined.drain(..skip);
    joined.truncate(PAGE);
    let end = skip + joined.len();
    Ok(Json(Mutual { joined, count, next_batch: (end < count).then(|| format!("m{end}")) }))
}
