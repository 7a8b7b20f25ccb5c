//! Filters, made ready for use: what a client asked to see.
//!
//! Source: client-server API, "Filtering".

use std::collections::HashSet;

use roost_spec::glob::matches_stars;
use ruma::{
    OwnedRoomId, OwnedUserId,
    api::client::filter::{
        EventFormat, Filter as EventFilter, FilterDefinition, LazyLoadOptions, RoomEventFilter, UrlFilter,
    },
};

/// Events of one room in one answer, unless the filter says otherwise.
const DEFAULT_LIMIT: usize = 10;
/// And at most.
const MAX_LIMIT: usize = 100;

/// A filter of sync.
#[derive(Debug, Default)]
pub struct Filter {
    pub rooms: Only<OwnedRoomId>,
    pub include_leave: bool,
    pub timeline: Section,
    pub state: Section,
    pub ephemeral: Section,
    pub room_account_data: Section,
    pub account_data: Section,
    pub presence: Section,
    pub lazy_members: LazyMembers,
    /// Counts for each thread of their own.
    pub thread_counts: bool,
    /// Dotted paths of the fields to keep, split; `None` keeps all.
    pub fields: Option<Vec<Vec<String>>>,
    /// Events as they go over federation.
    pub federation_format: bool,
}

/// Which members' events a client wants.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LazyMembers {
    /// All of them.
    #[default]
    No,
    /// Those that explain the timeline; each once.
    Yes,
    /// The same, again and again.
    Redundant,
}

/// A filter of events of one kind.
#[derive(Debug, Default)]
pub struct Section {
    pub types: Types,
    pub senders: Only<OwnedUserId>,
    pub rooms: Only<OwnedRoomId>,
    /// Only events with, or without, a `url` in their content.
    pub url: Option<bool>,
    limit: Option<usize>,
}

/// A list to include and a list to exclude; excluding wins.
#[derive(Debug)]
pub struct Only<T> {
    include: Option<HashSet<T>>,
    exclude: HashSet<T>,
}

/// The same for event types, where `*` stands for anything.
#[derive(Debug, Default)]
pub struct Types {
    include: Option<Vec<String>>,
    exclude: Vec<String>,
}

impl From<FilterDefinition> for Filter {
    fn from(filter: FilterDefinition) -> Self {
        let lazy_members = match filter.room.state.lazy_load_options {
            LazyLoadOptions::Enabled { include_redundant_members: true } => LazyMembers::Redundant,
            LazyLoadOptions::Enabled { include_redundant_members: false } => LazyMembers::Yes,
            LazyLoadOptions::Disabled => LazyMembers::No,
        };
        let thread_counts = filter.room.timeline.unread_thread_notifications;
        Self {
            rooms: Only::new(filter.room.rooms, filter.room.not_rooms),
            include_leave: filter.room.include_leave,
            timeline: filter.room.timeline.into(),
            state: filter.room.state.into(),
            ephemeral: filter.room.ephemeral.into(),
            room_account_data: filter.room.account_data.into(),
            account_data: filter.account_data.into(),
            presence: filter.presence.into(),
            lazy_members,
            thread_counts,
            fields: filter.event_fields.map(|fields| fields.iter().map(|field| split_path(field)).collect()),
            federation_format: filter.event_format == EventFormat::Federation,
        }
    }
}

impl From<RoomEventFilter> for Section {
    fn from(filter: RoomEventFilter) -> Self {
        Self {
            types: Types { include: filter.types, exclude: filter.not_types },
            senders: Only::new(filter.senders, filter.not_senders),
            rooms: Only::new(filter.rooms, filter.not_rooms),
            url: filter.url_filter.map(|url| matches!(url, UrlFilter::EventsWithUrl)),
            limit: filter.limit.map(|limit| usize::try_from(u64::from(limit)).unwrap_or(usize::MAX)),
        }
    }
}

impl From<EventFilter> for Section {
    fn from(filter: EventFilter) -> Self {
        Self {
            types: Types { include: filter.types, exclude: filter.not_types },
            senders: Only::new(filter.senders, filter.not_senders),
            limit: filter.limit.map(|limit| usize::try_from(u64::from(limit)).unwrap_or(usize::MAX)),
            ..Self::default()
        }
    }
}

impl Section {
    /// How many events of one room the timeline holds at most.
    pub fn timeline_limit(&self) -> usize {
        self.limit.unwrap_or(DEFAULT_LIMIT).min(MAX_LIMIT)
    }

    /// Whether events of the room are wanted at all.
    pub fn takes_room(&self, room: &OwnedRoomId) -> bool {
        self.rooms.takes(room)
    }

    /// Whether every event passes, whatever it is.
    pub fn takes_all(&self) -> bool {
        self.types.takes_all() && self.senders.takes_all() && self.url.is_none()
    }

    /// Whether no event at all passes.
    pub fn takes_nothing(&self) -> bool {
        self.types.takes_nothing() || self.senders.takes_nothing()
    }
}

impl<T: std::hash::Hash + Eq> Only<T> {
    fn new(include: Option<Vec<T>>, exclude: Vec<T>) -> Self {
        Self { include: include.map(HashSet::from_iter), exclude: exclude.into_iter().collect() }
    }

    pub fn takes<Q>(&self, item: &Q) -> bool
    where
        T: std::borrow::Borrow<Q>,
        Q: std::hash::Hash + Eq + ?Sized,
    {
        !self.exclude.contains(item) && self.include.as_ref().is_none_or(|include| include.contains(item))
    }

    pub fn takes_all(&self) -> bool {
        self.include.is_none() && self.exclude.is_empty()
    }

    fn takes_nothing(&self) -> bool {
        self.include.as_ref().is_some_and(HashSet::is_empty)
    }
}

impl<T> Default for Only<T> {
    fn default() -> Self {
        Self { include: None, exclude: HashSet::new() }
    }
}

impl Types {
    pub fn takes(&self, kind: &str) -> bool {
        let any = |patterns: &[String]| patterns.iter().any(|pattern| matches_stars(pattern, kind));
        !any(&self.exclude) && self.include.as_ref().is_none_or(|include| any(include))
    }

    pub fn takes_all(&self) -> bool {
        self.include.is_none() && self.exclude.is_empty()
    }

    fn takes_nothing(&self) -> bool {
        self.include.as_ref().is_some_and(Vec::is_empty)
    }
}

/// Splits a dotted path; `\.` is a dot in a name and `\\` a backslash.
fn split_path(path: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut characters = path.chars().peekable();
    while let Some(c) = characters.next() {
        let escaped = if c == '\\' { characters.next_if(|next| matches!(next, '.' | '\\')) } else { None };
        match (escaped, c) {
            (None, '.') => parts.push(String::new()),
            (None, c) | (Some(c), _) => parts.last_mut().into_iter().for_each(|part| part.push(c)),
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn filter(json: serde_json::Value) -> Filter {
        serde_json::from_value::<FilterDefinition>(json).unwrap().into()
    }

    #[test]
    fn an_empty_filter_takes_everything() {
        let filter = filter(json!({}));
        assert!(filter.timeline.takes_all() && filter.state.takes_all() && !filter.include_leave);
        assert_eq!((filter.timeline.timeline_limit(), filter.lazy_members), (10, LazyMembers::No));
        assert!(Filter::default().timeline.takes_all());
    }

    #[test]
    fn excluding_wins_over_including() {
        let filter = filter(json!({"room": {
            "rooms": ["!a:s", "!b:s"], "not_rooms": ["!b:s"],
            "timeline": {"types": ["m.room.*"], "not_types": ["m.room.m*"], "senders": ["@a:s"], "limit": 1000}}}));
        let takes = |room: &str| filter.rooms.takes(<&ruma::RoomId>::try_from(room).unwrap());
        assert_eq!(["!a:s", "!b:s", "!c:s"].map(takes), [true, false, false]);
        let takes = |kind| filter.timeline.types.takes(kind);
        assert_eq!(["m.room.name", "m.room.member", "m.reaction"].map(takes), [true, false, false]);
        assert_eq!(filter.timeline.timeline_limit(), 100);
        assert!(!filter.timeline.takes_all() && !filter.timeline.takes_nothing());
    }

    #[test]
    fn an_empty_list_takes_nothing() {
        assert!(filter(json!({"account_data": {"types": []}})).account_data.takes_nothing());
        assert!(!filter(json!({"room": {"rooms": []}})).rooms.takes(<&ruma::RoomId>::try_from("!a:s").unwrap()));
    }

    #[test]
    fn members_are_lazy_as_asked() {
        let lazy = |state| filter(json!({"room": {"state": state}})).lazy_members;
        assert_eq!(lazy(json!({"lazy_load_members": true})), LazyMembers::Yes);
        assert_eq!(lazy(json!({"lazy_load_members": true, "include_redundant_members": true})), LazyMembers::Redundant);
        assert_eq!(lazy(json!({"include_redundant_members": true})), LazyMembers::No);
    }

    #[test]
    fn paths_are_split_at_dots_that_are_not_escaped() {
        assert_eq!(split_path(r"content.m\.text"), ["content", "m.text"]);
        assert_eq!(split_path(r"a\\.b\c"), [r"a\", r"b\c"]);
    }
}
