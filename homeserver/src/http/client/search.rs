//! `POST /search`

use std::collections::{BTreeMap, HashSet};

use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::rooms::{event_filter, show};
use crate::{
    http::{ApiError, Json, Query, Routes},
    rooms::{
        Rooms, SearchToken,
        filter::EventFilter,
        search_page::{Hit, SearchAsk, SearchPage},
    },
    storage::Sym,
    users::Requester,
};

pub(super) fn routes() -> Routes {
    Routes::default().v3("POST", "search", search)
}

/// So many results one answer holds at most, and where nothing is said; so many events around each.
const MOST: usize = 50;
const USUAL: usize = 10;
const MOST_AROUND: u64 = 20;
const USUAL_AROUND: u64 = 5;
/// So many state events one answer holds.
const MOST_STATE: usize = 10_000;

#[derive(Deserialize)]
struct Ask {
    next_batch: Option<String>,
}

#[derive(Deserialize)]
struct Body {
    search_categories: Categories,
}

#[derive(Deserialize)]
struct Categories {
    room_events: Option<Criteria>,
}

#[derive(Deserialize)]
struct Criteria {
    search_term: String,
    keys: Option<Vec<Key>>,
    filter: Option<Box<RawValue>>,
    #[serde(default)]
    order_by: Order,
    event_context: Option<Around>,
    #[serde(default)]
    include_state: bool,
    groupings: Option<Groupings>,
}

#[derive(Clone, Copy, Deserialize)]
enum Key {
    #[serde(rename = "content.body")]
    Body,
    #[serde(rename = "content.name")]
    Name,
    #[serde(rename = "content.topic")]
    Topic,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Order {
    #[default]
    Rank,
    Recent,
}

#[derive(Deserialize)]
struct Around {
    before_limit: Option<u64>,
    after_limit: Option<u64>,
    #[serde(default)]
    include_profile: bool,
}

#[derive(Deserialize)]
struct Groupings {
    #[serde(default)]
    group_by: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    key: GroupKey,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum GroupKey {
    RoomId,
    Sender,
}

#[derive(Serialize)]
struct Answer {
    search_categories: FoundCategories,
}

#[derive(Serialize)]
struct FoundCategories {
    #[serde(skip_serializing_if = "Option::is_none")]
    room_events: Option<RoomEvents>,
}

#[derive(Default, Serialize)]
struct RoomEvents {
    count: i64,
    highlights: Vec<String>,
    results: Vec<Shown>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_batch: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<BTreeMap<String, Vec<Box<RawValue>>>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    groups: BTreeMap<&'static str, BTreeMap<String, OneGroup>>,
}

#[derive(Serialize)]
struct Shown {
    rank: f32,
    result: Box<RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    context: Option<Context>,
}

#[derive(Serialize)]
struct Context {
    start: String,
    end: String,
    events_before: Vec<Box<RawValue>>,
    events_after: Vec<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    profile_info: Option<BTreeMap<String, ProfileInfo>>,
}

#[derive(Serialize)]
struct ProfileInfo {
    displayname: Option<String>,
    avatar_url: Option<String>,
}

#[derive(Default, Serialize)]
struct OneGroup {
    order: usize,
    results: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_batch: Option<String>,
}

async fn search(
    State(rooms): State<Rooms>,
    requester: Requester,
    Query(ask): Query<Ask>,
    Json(body): Json<Body>,
) -> Result<Json<Answer>, ApiError> {
    let from: Option<SearchToken> = ask
        .next_batch
        .as_deref()
        .filter(|token| !token.is_empty())
        .map(str::parse)
        .transpose()
        .map_err(|error| ApiError::invalid_param(format!("The parameter `next_batch` is not valid: {error}.")))?;
    let room_events = match &body.search_categories.room_events {
        Some(criteria) => Some(room_events(&rooms, &requester, criteria, from).await?),
        None => None,
    };
    Ok(Json(Answer { search_categories: FoundCategories { room_events } }))
}

async fn room_events(
    rooms: &Rooms,
    requester: &Requester,
    criteria: &Criteria,
    from: Option<SearchToken>,
) -> Result<RoomEvents, ApiError> {
    let filter: EventFilter = event_filter(criteria.filter.as_deref().map(RawValue::get))?;
    let keys = criteria.keys.as_deref().unwrap_or(&[Key::Body, Key::Name, Key::Topic]);
    let kind = |key: &Key| match key {
        Key::Body => Sym::MESSAGE,
        Key::Name => Sym::NAME,
        Key::Topic => Sym::TOPIC,
    };
    let ask = SearchAsk {
        term: &criteria.search_term,
        kinds: &keys.iter().map(kind).collect::<Vec<_>>(),
        filter: &filter,
        by_rank: matches!(criteria.order_by, Order::Rank),
        grouped: criteria.groupings.as_ref().is_some_and(|groupings| !groupings.group_by.is_empty()),
        from,
        limit: filter.limit.unwrap_or(USUAL).min(MOST),
    };
    let page = rooms.search(requester.user, &ask).await?;
    let shown = show(rooms, requester, page.hits.iter().map(|hit| hit.shown.clone())).await?;
    let mut found = RoomEvents {
        count: page.count,
        groups: groups(criteria, &page),
        highlights: page.words,
        next_batch: page.next.map(|next| next.to_string()),
        ..RoomEvents::default()
    };
    for (hit, result) in page.hits.iter().zip(shown) {
        let context = match &criteria.event_context {
            Some(around) => Some(context(rooms, requester, hit, around).await?),
            None => None,
        };
        found.results.push(Shown { rank: hit.rank, result, context });
    }
    if criteria.include_state {
        found.state = Some(states(rooms, requester, &page.hits).await?);
    }
    Ok(found)
}

/// The state of each room with a result. Rooms with which all of it would be too much are left out.
async fn states(
    rooms: &Rooms,
    requester: &Requester,
    hits: &[Hit],
) -> Result<BTreeMap<String, Vec<Box<RawValue>>>, ApiError> {
    let (mut states, mut told, mut left) = (BTreeMap::new(), HashSet::new(), MOST_STATE);
    for hit in hits.iter().filter(|hit| told.insert(hit.reading.room.nr)) {
        let Some(less) = left.checked_sub(hit.reading.state.len()) else { continue };
        left = less;
        let events = rooms.state_events(&hit.reading.state).await?;
        states.insert(hit.reading.room.id.to_string(), show(rooms, requester, events).await?);
    }
    Ok(states)
}

async fn context(rooms: &Rooms, requester: &Requester, hit: &Hit, around: &Around) -> Result<Context, ApiError> {
    let most = |limit: Option<u64>| usize::try_from(limit.unwrap_or(USUAL_AROUND).min(MOST_AROUND)).unwrap_or(0);
    let (before, after, start, end) = rooms.around(hit, most(around.before_limit), most(around.after_limit)).await?;
    let mut profile_info = None;
    if around.include_profile {
        // What the result's own sender was called then counts before what they were called around it.
        let events: Vec<_> = [&hit.shown].into_iter().chain(&before).chain(&after).map(|shown| &*shown.event).collect();
        let profiles = rooms.profiles_then(&events).await?.into_iter();
        let info = |p: crate::rooms::state_read::Profile| {
            (p.user_id, ProfileInfo { displayname: p.display_name, avatar_url: p.avatar_url })
        };
        profile_info = Some(profiles.map(info).collect());
    }
    Ok(Context {
        start: start.to_string(),
        end: end.to_string(),
        events_before: show(rooms, requester, before).await?,
        events_after: show(rooms, requester, after).await?,
        profile_info,
    })
}

/// The results by room and by sender, the groups in the order of their first.
fn groups(criteria: &Criteria, page: &SearchPage) -> BTreeMap<&'static str, BTreeMap<String, OneGroup>> {
    let mut groups = BTreeMap::new();
    for group in criteria.groupings.iter().flat_map(|groupings| &groupings.group_by) {
        let mut by: BTreeMap<String, OneGroup> = BTreeMap::new();
        for hit in &page.hits {
            let (key, next) = match group.key {
                GroupKey::RoomId => (hit.reading.room.id.to_string(), page.next_in_room(hit)),
                GroupKey::Sender => (hit.shown.event.sender_text().into_owned(), page.next_of_sender(hit)),
            };
            let order = by.len() + 1;
            let next_batch = next.map(|next| next.to_string());
            let entry = by.entry(key).or_insert_with(|| OneGroup { order, results: Vec::new(), next_batch });
            entry.results.push(hit.shown.event.id.to_string());
        }
        groups.insert(if group.key == GroupKey::RoomId { "room_id" } else { "sender" }, by);
    }
    groups
}
