//! What one commit touched, as nodes tell each other.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::storage::{DeviceNr, EventNr, FrameNr, Membership, Pos, RoomNr, Sym, UserNr, commit::Noted, slice::Row};

/// A commit: the positions `first..=last` and what they touched.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Slice {
    pub generation: i64,
    pub first: Pos,
    pub last: Pos,
    /// The process that committed it.
    pub writer: i64,
    pub rooms: Vec<RoomNr>,
    pub users: Vec<UserNr>,
    pub notices: Vec<Notice>,
    /// The events, where the slice came by the bell or from this node; `None` where it was read back from the database.
    pub events: Option<Vec<Arc<LogEvent>>>,
    /// What it holds besides events; `None` like `events`.
    #[serde(default)]
    pub beside: Option<Beside>,
}

/// What a commit holds besides events, so that a long-poll reads only what is new.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Beside {
    pub receipts: Vec<LogReceipt>,
    /// Whose account data was written.
    pub account_data: Vec<UserNr>,
    /// Whose push rules or ignored users were; `None` where the writer does not say.
    #[serde(default)]
    pub push_rules: Option<Vec<UserNr>>,
    /// For which devices messages were queued.
    pub to_device: Vec<DeviceNr>,
    /// Whose device lists changed.
    pub device_changes: Vec<UserNr>,
}

/// A receipt with its place.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LogReceipt {
    pub pos: Pos,
    pub room: RoomNr,
    pub user: UserNr,
    pub private: bool,
    pub thread: Arc<str>,
    pub event_id: Arc<str>,
    /// The event's place in the log, where the writer says it.
    #[serde(default)]
    pub event_pos: Option<Pos>,
    pub ts: i64,
}

/// An event with its places.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LogEvent {
    pub pos: Pos,
    pub ord: i64,
    pub room: RoomNr,
    pub nr: EventNr,
    pub id: Arc<str>,
    pub kind: Sym,
    pub sender: Sym,
    pub state_key: Option<Sym>,
    pub ts: i64,
    /// The room's state after it.
    pub frame: FrameNr,
    pub replaces: Option<EventNr>,
    pub membership: Option<Membership>,
    /// As it goes over federation.
    pub json: Arc<str>,
    /// The sending device and the client's transaction ID, where a client sent it.
    pub txn: Option<(DeviceNr, Arc<str>)>,
    /// What it redacts.
    pub redacts: Option<EventNr>,
    /// Whom it notifies.
    #[serde(default)]
    pub noted: Noted,
    /// See [`crate::storage::event`].
    #[serde(default)]
    pub flags: i16,
}

/// What caches must drop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Notice {
    /// The account, its devices, tokens or profile.
    User(UserNr),
    /// The room beyond its events: aliases, directory, a purge.
    Room(RoomNr),
    /// What an operator set for all nodes.
    Settings,
}

impl Notice {
    pub(super) fn to_text(self) -> String {
        match self {
            Self::User(nr) => format!("user:{}", nr.0),
            Self::Room(nr) => format!("room:{}", nr.0),
            Self::Settings => "settings:0".to_owned(),
        }
    }

    /// Unknown words come from newer nodes and mean nothing here.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (word, nr) = text.split_once(':')?;
        match word {
            "user" => nr.parse().ok().map(|nr| Self::User(Sym(nr))),
            "settings" => Some(Self::Settings),
            "room" => nr.parse().ok().map(|nr| Self::Room(RoomNr(nr))),
            _ => None,
        }
    }
}

impl From<Row> for Slice {
    fn from(row: Row) -> Self {
        Self {
            generation: row.generation,
            first: row.first,
            last: row.last,
            writer: row.writer,
            rooms: row.rooms,
            users: row.users,
            notices: row.notices.iter().filter_map(|text| Notice::parse(text)).collect(),
            events: None,
            beside: None,
        }
    }
}

/// A cache that follows the log.
pub trait Apply: Send + Sync {
    /// Takes in `slice`, or drops what it makes stale. `own` says that this node committed it. Called in order, before
    /// the watermark covers the slice; must be quick and must not block.
    fn apply(&self, slice: &Slice, own: bool);
}

#[cfg(test)]
impl Slice {
    /// What tests of caches apply.
    pub fn of_test(first: i64, last: i64, rooms: Vec<RoomNr>, events: Option<Vec<Arc<LogEvent>>>) -> Self {
        let (users, notices) = (Vec::new(), Vec::new());
        Self {
            generation: 1,
            first: Pos(first),
            last: Pos(last),
            writer: 1,
            rooms,
            users,
            notices,
            events,
            beside: None,
        }
    }
}

#[cfg(test)]
impl LogEvent {
    /// A message of somebody, whose numbers are all `nr`.
    pub fn of_test(room: RoomNr, nr: i64) -> Self {
        Self {
            pos: Pos(nr),
            ord: nr,
            room,
            nr: EventNr(nr),
            id: format!("${nr}").into(),
            kind: Sym(17),
            sender: Sym(1000),
            state_key: None,
            ts: 0,
            frame: FrameNr(1),
            replaces: None,
            membership: None,
            json: r#"{"content":{},"sender":"@a:b","type":"m.room.message"}"#.into(),
            txn: None,
            redacts: None,
            noted: Noted::default(),
            flags: 0,
        }
    }
}
