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
    results: Vec<ShownUser>,
    limited: bool,
}

#[derive(Serialize)]
struct ShownUser {
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
    let show = |user: crate::users::DirectoryUser| ShownUser {
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
    // A token names the last room shown: which others were there before it does not matter.
    let from: Option<OwnedRoomId> = ask
        .from
        .as_deref()
        .filter(|from| !from.is_empty())
        .map(str::parse)
        .transpose()
        .map_err(|_| ApiError::invalid_param("The parameter `from` is not a token that this server gave out."))?;
    let mut joined = rooms.rooms_in_common(requester.user, &ask.user_id).await?;
    let count = joined.len();
    joined.retain(|room| from.as_ref().is_none_or(|from| room > from));
    let more = joined.len() > PAGE;
    joined.truncate(PAGE);
    let next_batch = joined.last().filter(|_| more).map(ToString::to_string);
    Ok(Json(Mutual { joined, count, next_batch }))
}
