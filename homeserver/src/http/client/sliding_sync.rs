//! `POST /sync` as windows over rooms: `/v4/sync` of MSC4186, and the dialect that clients speak today.

use std::{collections::BTreeMap, time::Duration};

use axum::{
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
};
use ruma::OwnedRoomId;
use serde::Deserialize;

use crate::{
    http::{ApiError, OptionalJson, Query, Routes, auth::while_allowed},
    presence::{self, Presence},
    sync::{
        Sync,
        sliding::{
            Dialect, Extension, Extensions, Filters, Key, List, Pattern, RequiredState, RoomConfig, SlidingError,
            SlidingRequest, ToDevice,
        },
    },
    users::{Requester, Users},
};

/// Lists, and subscriptions, in one request.
const MOST: usize = 100;
/// Entries of one `required_state`.
const MOST_STATE: usize = 500;
/// Events of one room.
const MAX_TIMELINE: u64 = 100;
/// A connection's name.
const MAX_NAME: usize = 255;

pub(super) fn routes() -> Routes {
    Routes::default().at("POST", "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync", unstable).at(
        "POST",
        "/_matrix/client/v4/sync",
        stable,
    )
}

#[derive(Debug, Deserialize)]
struct UnstableQuery {
    pos: Option<String>,
    /// Milliseconds.
    #[serde(default)]
    timeout: u64,
    set_presence: Option<presence::State>,
}

#[derive(Debug, Deserialize)]
struct UnstableBody {
    conn_id: Option<String>,
    txn_id: Option<String>,
    #[serde(default)]
    lists: BTreeMap<String, UnstableList>,
    #[serde(default)]
    room_subscriptions: BTreeMap<OwnedRoomId, Subscription<UnstableConfig>>,
    #[serde(default)]
    extensions: AskedExtensions,
}

#[derive(Debug, Deserialize)]
struct UnstableList {
    ranges: Option<Vec<(u64, u64)>>,
    #[serde(flatten)]
    config: UnstableConfig,
    #[serde(default)]
    filters: Option<AskedFilters>,
}

#[derive(Debug, Deserialize)]
struct UnstableConfig {
    timeline_limit: u64,
    #[serde(default)]
    required_state: Vec<(String, String)>,
}

/// An object and nothing else: what is flattened is not read from a list of values.
#[derive(Debug, Deserialize)]
struct Subscription<C> {
    #[serde(flatten)]
    config: C,
}

#[derive(Debug, Deserialize)]
struct StableBody {
    conn_id: Option<String>,
    pos: Option<String>,
    /// Milliseconds.
    #[serde(default)]
    timeout: u64,
    set_presence: Option<presence::State>,
    #[serde(default)]
    lists: BTreeMap<String, StableList>,
    #[serde(default)]
    room_subscriptions: BTreeMap<OwnedRoomId, Subscription<StableConfig>>,
    #[serde(default)]
    extensions: AskedExtensions,
}

#[derive(Debug, Deserialize)]
struct StableList {
    range: Option<(u64, u64)>,
    #[serde(flatten)]
    config: StableConfig,
    #[serde(default)]
    filters: Option<AskedFilters>,
}

#[derive(Debug, Deserialize)]
struct StableConfig {
    timeline_limit: u64,
    required_state: AskedState,
}

#[derive(Debug, Deserialize)]
struct AskedState {
    #[serde(default)]
    include: Vec<AskedPattern>,
    #[serde(default)]
    exclude: Vec<AskedPattern>,
    #[serde(default)]
    lazy_members: bool,
}

#[derive(Debug, Deserialize)]
struct AskedPattern {
    #[serde(rename = "type")]
    kind: Option<String>,
    state_key: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
struct AskedFilters {
    is_dm: Option<bool>,
    is_encrypted: Option<bool>,
    is_invited: Option<bool>,
    /// The older name: where both come, the one above counts.
    is_invite: Option<bool>,
    spaces: Option<Vec<OwnedRoomId>>,
    room_types: Option<Vec<Option<String>>>,
    #[serde(default)]
    not_room_types: Option<Vec<Option<String>>>,
    tags: Option<Vec<String>>,
    #[serde(default)]
    not_tags: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
struct AskedExtensions {
    to_device: Option<AskedToDevice>,
    e2ee: Option<Switch>,
    account_data: Option<AskedExtension>,
    receipts: Option<AskedExtension>,
    typing: Option<AskedExtension>,
}

#[derive(Debug, Deserialize)]
struct Switch {
    #[serde(default)]
    enabled: Option<bool>,
}

#[derive(Debug, Deserialize)]
struct AskedToDevice {
    #[serde(flatten)]
    switch: Switch,
    limit: Option<u64>,
    since: Option<String>,
}

#[derive(Debug, Deserialize)]
struct AskedExtension {
    #[serde(flatten)]
    switch: Switch,
    lists: Option<Vec<String>>,
    rooms: Option<Vec<String>>,
}

/// `POST /_matrix/client/unstable/org.matrix.simplified_msc3575/sync`
async fn unstable(
    State(sync): State<Sync>,
    State(users): State<Users>,
    State(presence): State<Presence>,
    requester: Requester,
    Query(query): Query<UnstableQuery>,
    OptionalJson(body): OptionalJson<UnstableBody>,
) -> Result<Response, ApiError> {
    let _polling = presence.poll(&requester, query.set_presence.unwrap_or(presence::State::Online));
    let mut request = request(Dialect::Unstable, body.conn_id, query.pos, query.timeout, body.extensions);
    request.txn_id = body.txn_id;
    for (name, list) in body.lists {
        let ranges = list.ranges.map(|ranges| ranges.into_iter().map(range).collect::<Result<_, _>>()).transpose()?;
        let filters = list.filters.unwrap_or_default().into();
        request.lists.insert(name, List { ranges, config: list.config.into(), filters });
    }
    request.subscriptions = body.room_subscriptions.into_iter().map(|(room, it)| (room, it.config.into())).collect();
    answer(&sync, &users, &requester, request).await
}

/// `POST /_matrix/client/v4/sync`
async fn stable(
    State(sync): State<Sync>,
    State(users): State<Users>,
    State(presence): State<Presence>,
    requester: Requester,
    OptionalJson(body): OptionalJson<StableBody>,
) -> Result<Response, ApiError> {
    let _polling = presence.poll(&requester, body.set_presence.unwrap_or(presence::State::Online));
    let mut request = request(Dialect::Stable, body.conn_id, body.pos, body.timeout, body.extensions);
    for (name, list) in body.lists {
        let ranges = list.range.map(|asked| Ok::<_, ApiError>(vec![range(asked)?])).transpose()?;
        let filters = list.filters.unwrap_or_default().into();
        request.lists.insert(name, List { ranges, config: list.config.into(), filters });
    }
    request.subscriptions = body.room_subscriptions.into_iter().map(|(room, it)| (room, it.config.into())).collect();
    answer(&sync, &users, &requester, request).await
}

async fn answer(
    sync: &Sync,
    users: &Users,
    requester: &Requester,
    request: SlidingRequest,
) -> Result<Response, ApiError> {
    if request.lists.len() > MOST || request.subscriptions.len() > MOST {
        return Err(ApiError::invalid_param(format!("A request has {MOST} lists and {MOST} subscriptions at most.")));
    }
    let configs = request.lists.values().map(|list| &list.config).chain(request.subscriptions.values());
    let patterns = configs.map(|c| c.required_state.include.len() + c.required_state.exclude.len());
    if patterns.max().is_some_and(|most| most > MOST_STATE) {
        return Err(ApiError::invalid_param(format!("`required_state` has {MOST_STATE} entries at most.")));
    }
    if request.connection.as_ref().is_some_and(|name| name.len() > MAX_NAME) {
        return Err(ApiError::invalid_param(format!("`conn_id` has {MAX_NAME} bytes at most.")));
    }
    let body = while_allowed(users, requester, async { Ok(sync.sliding(requester, request).await?) }).await?;
    Ok(([(CONTENT_TYPE, "application/json")], body).into_response())
}

fn request(
    dialect: Dialect,
    connection: Option<String>,
    pos: Option<String>,
    timeout: u64,
    extensions: AskedExtensions,
) -> SlidingRequest {
    SlidingRequest {
        dialect,
        connection: connection.map(Into::into),
        txn_id: None,
        pos,
        timeout: Duration::from_millis(timeout),
        lists: BTreeMap::new(),
        subscriptions: BTreeMap::new(),
        extensions: extensions.into(),
    }
}

fn range((first, last): (u64, u64)) -> Result<(usize, usize), ApiError> {
    if first > last {
        return Err(ApiError::invalid_param("A range begins behind its end."));
    }
    let place = |place: u64| usize::try_from(place).unwrap_or(usize::MAX);
    Ok((place(first), place(last)))
}

fn limit(asked: u64) -> usize {
    usize::try_from(asked.min(MAX_TIMELINE)).unwrap_or(0)
}

impl From<UnstableConfig> for RoomConfig {
    fn from(config: UnstableConfig) -> Self {
        let mut required_state = RequiredState::default();
        for (kind, key) in config.required_state {
            if kind == "m.room.member" && key == "$LAZY" {
                required_state.lazy_members = true;
                continue;
            }
            let key = match &*key {
                "*" => None,
                "$ME" => Some(Key::Me),
                _ => Some(Key::Text(key)),
            };
            required_state.include.insert(Pattern { kind: (kind != "*").then_some(kind), key });
        }
        Self { timeline_limit: limit(config.timeline_limit), required_state }
    }
}

impl From<StableConfig> for RoomConfig {
    fn from(config: StableConfig) -> Self {
        let patterns = |asked: Vec<AskedPattern>| {
            let pattern = |p: AskedPattern| Pattern {
                kind: p.kind,
                key: p.state_key.map(|key| if key == "$ME" { Key::Me } else { Key::Text(key) }),
            };
            asked.into_iter().map(pattern).collect()
        };
        let AskedState { include, exclude, lazy_members } = config.required_state;
        let required_state = RequiredState { include: patterns(include), exclude: patterns(exclude), lazy_members };
        Self { timeline_limit: limit(config.timeline_limit), required_state }
    }
}

impl From<AskedFilters> for Filters {
    fn from(asked: AskedFilters) -> Self {
        Self {
            is_dm: asked.is_dm,
            is_encrypted: asked.is_encrypted,
            is_invited: asked.is_invited.or(asked.is_invite),
            spaces: asked.spaces,
            room_types: asked.room_types,
            not_room_types: asked.not_room_types.unwrap_or_default(),
            tags: asked.tags,
            not_tags: asked.not_tags.unwrap_or_default(),
        }
    }
}

impl From<AskedExtensions> for Extensions {
    fn from(asked: AskedExtensions) -> Self {
        let on = |switch: &Switch| switch.enabled == Some(true);
        let about = |asked: Option<AskedExtension>| {
            asked.filter(|e| on(&e.switch)).map(|e| Extension { lists: e.lists, rooms: e.rooms })
        };
        let to_device = asked.to_device.filter(|e| on(&e.switch));
        Self {
            to_device: to_device.map(|e| ToDevice { limit: e.limit, since: e.since }),
            e2ee: asked.e2ee.as_ref().is_some_and(on),
            account_data: about(asked.account_data),
            receipts: about(asked.receipts),
            typing: about(asked.typing),
        }
    }
}

impl From<SlidingError> for ApiError {
    fn from(error: SlidingError) -> Self {
        match error {
            SlidingError::UnknownPos => {
                let message = "This connection has ended. Begin a new one, without `pos`.";
                Self::new(StatusCode::BAD_REQUEST, "M_UNKNOWN_POS", message)
            }
            SlidingError::Messages(_) => {
                Self::invalid_param("The to-device extension's `since` is not a token that this server gave out.")
            }
            SlidingError::Storage(error) => error.into(),
        }
    }
}
