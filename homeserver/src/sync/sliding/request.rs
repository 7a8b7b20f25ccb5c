//! What a client asks of sliding sync, the same for both dialects.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::Duration,
};

use ruma::OwnedRoomId;
use serde::{Deserialize, Serialize};

use super::RequiredState;

/// Which names a client uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// `/v4/sync` as MSC4186 has it.
    Stable,
    /// `org.matrix.simplified_msc3575`.
    Unstable,
}

/// A request.
#[derive(Debug, Clone)]
pub struct SlidingRequest {
    pub dialect: Dialect,
    /// The client's name for the connection; none is a name of its own.
    pub connection: Option<Arc<str>>,
    /// Given back as it is.
    pub txn_id: Option<String>,
    pub pos: Option<String>,
    pub timeout: Duration,
    pub lists: BTreeMap<String, List>,
    pub subscriptions: BTreeMap<OwnedRoomId, RoomConfig>,
    pub extensions: Extensions,
}

/// A window over the user's rooms.
#[derive(Debug, Clone, Default, Hash)]
pub struct List {
    /// First and last place, counted from 0; `None` means all of them.
    pub ranges: Option<Vec<(usize, usize)>>,
    pub config: RoomConfig,
    pub filters: Filters,
}

/// What is wanted of a room.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RoomConfig {
    pub timeline_limit: usize,
    pub required_state: RequiredState,
}

/// Which rooms are in a list. What is absent asks nothing.
#[derive(Debug, Clone, Default, Hash)]
pub struct Filters {
    pub is_dm: Option<bool>,
    pub is_encrypted: Option<bool>,
    pub is_invited: Option<bool>,
    /// Children of these spaces; any of them is enough.
    pub spaces: Option<Vec<OwnedRoomId>>,
    /// `None` in a list stands for rooms without a type.
    pub room_types: Option<Vec<Option<String>>>,
    pub not_room_types: Vec<Option<String>>,
    pub tags: Option<Vec<String>>,
    pub not_tags: Vec<String>,
}

/// The extensions that are enabled.
#[derive(Debug, Clone, Default)]
pub struct Extensions {
    pub to_device: Option<ToDevice>,
    pub e2ee: bool,
    pub account_data: Option<Extension>,
    pub receipts: Option<Extension>,
    pub typing: Option<Extension>,
}

/// Messages to the device.
#[derive(Debug, Clone, Default)]
pub struct ToDevice {
    pub limit: Option<u64>,
    pub since: Option<String>,
}

/// An extension about rooms.
#[derive(Debug, Clone, Default, Hash)]
pub struct Extension {
    /// Rooms of these lists; `None`: of all.
    pub lists: Option<Vec<String>>,
    /// These subscribed rooms; `None`, or `*` in it: all.
    pub rooms: Option<Vec<String>>,
}

impl SlidingRequest {
    /// A number that stands for what is asked, apart from what differs each time: `pos`, `timeout`, which messages were
    /// received.
    pub fn asked(&self) -> u64 {
        let Extensions { to_device, e2ee, account_data, receipts, typing } = &self.extensions;
        let mut hasher = DefaultHasher::new();
        (self.dialect, &self.lists, &self.subscriptions).hash(&mut hasher);
        (to_device.is_some(), e2ee, account_data, receipts, typing).hash(&mut hasher);
        hasher.finish()
    }
}

impl RoomConfig {
    /// Both together: what either wants.
    pub fn and(&self, other: &Self) -> Self {
        Self {
            timeline_limit: self.timeline_limit.max(other.timeline_limit),
            required_state: self.required_state.and(&other.required_state),
        }
    }
}

impl Extension {
    /// Whether it is about a room that is in the lists `in_lists`, or is subscribed to.
    pub fn is_about(&self, room: &OwnedRoomId, in_lists: &[String], subscribed: bool) -> bool {
        let by_list = in_lists.iter().any(|list| self.lists.as_ref().is_none_or(|lists| lists.contains(list)));
        let named = |rooms: &Vec<String>| rooms.iter().any(|name| name == "*" || name == room.as_str());
        by_list || subscribed && self.rooms.as_ref().is_none_or(named)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_extension_is_about_all_rooms_or_those_it_names() {
        let room = ruma::RoomId::parse("!a:s").unwrap();
        let lists = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let all = Extension::default();
        assert!(all.is_about(&room, &lists(&["x"]), false) && all.is_about(&room, &[], true));
        assert!(!all.is_about(&room, &[], false));
        let some = Extension { lists: Some(lists(&["y"])), rooms: Some(lists(&["!b:s"])) };
        assert!(!some.is_about(&room, &lists(&["x"]), true) && some.is_about(&room, &lists(&["x", "y"]), false));
        let star = Extension { lists: Some(vec![]), rooms: Some(lists(&["*"])) };
        assert!(star.is_about(&room, &[], true) && !star.is_about(&room, &lists(&["x"]), false));
    }
}
