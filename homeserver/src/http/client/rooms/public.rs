//! `GET` and `POST /publicRooms`: the public directory.

use axum::extract::State;
use serde::{Deserialize, Serialize};

use crate::{
    http::{ApiError, Json, OptionalJson, Passer, Query, Routes},
    rooms::{
        Rooms,
        card::Card,
        directory::{DirectoryAsk, Since},
    },
    users::Requester,
};

pub(super) fn routes() -> Routes {
    Routes::default().v3("GET", "publicRooms", get).v3("POST", "publicRooms", post)
}

/// So many rooms one answer holds at most, and where nothing is said.
const MOST: u64 = 500;
const USUAL: u64 = 100;

#[derive(Deserialize)]
struct Ask {
    limit: Option<u64>,
    since: Option<String>,
    server: Option<String>,
}

#[derive(Deserialize)]
struct Body {
    limit: Option<u64>,
    since: Option<String>,
    #[serde(default)]
    filter: Option<Filter>,
    include_all_networks: Option<bool>,
    third_party_instance_id: Option<String>,
}

#[derive(Default, Deserialize)]
struct Filter {
    generic_search_term: Option<String>,
    room_types: Option<Vec<Option<String>>>,
}

#[derive(Serialize)]
struct Answer {
    chunk: Vec<Card>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_batch: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prev_batch: Option<String>,
    total_room_count_estimate: usize,
}

/// Needs no access token.
async fn get(_: Passer, State(rooms): State<Rooms>, Query(ask): Query<Ask>) -> Result<Json<Answer>, ApiError> {
    ours(&rooms, ask.server.as_deref())?;
    page(&rooms, ask.limit, ask.since.as_deref(), Filter::default()).await
}

#[derive(Deserialize)]
struct Server {
    server: Option<String>,
}

async fn post(
    State(rooms): State<Rooms>,
    _requester: Requester,
    Query(Server { server }): Query<Server>,
    OptionalJson(body): OptionalJson<Body>,
) -> Result<Json<Answer>, ApiError> {
    ours(&rooms, server.as_deref())?;
    if body.include_all_networks == Some(true) && body.third_party_instance_id.is_some() {
        let message = "`include_all_networks` and `third_party_instance_id` can't be used together.";
        return Err(ApiError::invalid_param(message));
    }
    page(&rooms, body.limit, body.since.as_deref(), body.filter.unwrap_or_default()).await
}

fn ours(rooms: &Rooms, server: Option<&str>) -> Result<(), ApiError> {
    match server.filter(|server| !server.is_empty() && *server != rooms.server_name().as_str()) {
        Some(server) => Err(ApiError::not_found(format!("This server can't reach the directory of {server} yet."))),
        None => Ok(()),
    }
}

async fn page(
    rooms: &Rooms,
    limit: Option<u64>,
    since: Option<&str>,
    filter: Filter,
) -> Result<Json<Answer>, ApiError> {
    let since: Option<Since> = since
        .filter(|since| !since.is_empty())
        .map(str::parse)
        .transpose()
        .map_err(|error| ApiError::invalid_param(format!("The parameter `since` is not valid: {error}.")))?;
    let limit = limit.filter(|limit| *limit > 0).unwrap_or(USUAL).min(MOST);
    let limit = usize::try_from(limit).unwrap_or(1);
    let ask = DirectoryAsk { term: filter.generic_search_term, types: filter.room_types, since, limit };
    let page = rooms.directory(&ask).await?;
    Ok(Json(Answer {
        chunk: page.chunk.iter().map(|card| (**card).clone()).collect(),
        next_batch: page.next.map(|since| since.to_string()),
        prev_batch: page.previous.map(|since| since.to_string()),
        total_room_count_estimate: page.total,
    }))
}
