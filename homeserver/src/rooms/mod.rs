//! Rooms: their events, state and members; the only writer of events.
//!
//! - [`state`]: state as a structurally shared map, and the frames that keep it small on disk; `frames` finds any of them
//! - `heads`: where each room's history ends, committed and in flight
//! - `find`, `members`: rooms by ID, and who is in which
//! - `events`, `recent`, `timeline`: events in memory, and each room's newest; `render` writes them for clients
//! - `visibility`: who may see which of them; `access`: who may look into a room at all; `trail`: when they were inside;
//!   `messages`: pages of history
//! - `receipts`: how far users have read; [`unread`]: whom events notify, and how much is unread
//! - `relations`: edits, threads and other children of events
//! - `card`: rooms from outside; `directory` with its `listing`, `summary`, and `hierarchy` with its `tree` show them
//! - `search`: words of events, taken in; `search_page`, `search_walk`, `search_token`: events by them; `timestamp`: by their time; `report`: what users complain of
//! - `invite_permission`: whom users let invite them
//! - `append`: the one operation that writes events, on `draft`s that came through the `door`; `send`, `membership`, `create`, `upgrade`, `aliases` use it
//! - `pdus`: parsed state events; `once`: a transaction ID is good for one event
//! - `followed`, `doubted`: the caches of what the log changes
//!
//! **Invariant:** every event goes through the log, and nothing here knows HTTP or who may log in.

pub mod access;
mod aliases;
mod append;
pub mod card;
mod create;
pub mod directory;
mod door;
mod doubted;
mod draft;
mod erased;
mod events;
pub mod filter;
mod find;
mod followed;
mod frames;
mod heads;
pub mod hierarchy;
mod invite_permission;
mod listing;
mod members;
mod membership;
pub mod messages;
mod once;
mod page_token;
mod pdus;
mod preset;
mod profile;
pub mod receipts;
mod recent;
pub mod relations;
pub mod render;
mod report;
mod search;
pub mod search_page;
mod search_token;
mod search_walk;
mod send;
pub mod state;
pub mod state_read;
mod stored;
mod summary;
mod timeline;
mod timestamp;
pub mod trail;
mod tree;
pub mod unread;
mod upgrade;
pub mod visibility;
mod windows;
mod write_error;

use std::sync::Arc;

pub use aliases::AliasError;
pub use create::{CreateError, InitialState, NewRoom, is_invitation};
pub use doubted::{Doubted, Ticket};
pub use draft::{Author, Draft};
pub use find::Room;
pub use heads::{Extremity, Head};
pub use invite_permission::{INVITE_PERMISSION, InviteRules, Permission};
pub use members::Memberships;
pub use page_token::{NotAToken, PageToken};
pub use preset::Preset;
pub use report::ReportError;
use roost_spec::{room_version::RoomVersion, signature::Signer};
use ruma::{OwnedServerName, ServerName};
pub use search_token::{SearchToken, Within};
use sqlx::PgPool;
pub use state::{Frame, StateKey, StateMap};
pub use stored::StoredEvent;
pub use summary::Summary;
pub use timeline::Timeline;
pub use tree::Branch;
pub use upgrade::UpgradeError;
pub use write_error::WriteError;

use crate::{
    log::{Apply, Log},
    storage::Interner,
    users::Turns,
};

/// The rooms of this server. Cheap to clone.
#[derive(Clone)]
pub struct Rooms(Arc<Inner>);

struct Inner {
    pool: PgPool,
    interner: Interner,
    log: Log,
    signer: Signer,
    server_name: OwnedServerName,
    default_version: RoomVersion,
    caches: Caches,
}

/// What rooms are built from.
pub struct Options {
    pub pool: PgPool,
    pub interner: Interner,
    pub log: Log,
    pub signer: Signer,
    pub server_name: OwnedServerName,
    /// The version of rooms whose creator names none.
    pub default_version: RoomVersion,
    pub caches: Caches,
}

/// What is kept in memory. Built before the log, which tells it what changes.
#[derive(Clone)]
pub struct Caches {
    known: find::Known,
    frames: frames::Frames,
    heads: Arc<heads::Heads>,
    members: Arc<members::Members>,
    events: Arc<events::Events>,
    erased: Arc<erased::Erased>,
    relations: Arc<relations::Memory>,
    turns: Arc<Turns>,
    pdus: Arc<pdus::Pdus>,
    cards: Arc<card::Cards>,
    listing: Arc<listing::Listing>,
    recent_txns: once::RecentTxns,
    unread: Arc<unread::UnreadCaches>,
}

impl Caches {
    /// Empty caches.
    #[expect(clippy::new_without_default, reason = "an empty cache is no default of anything")]
    pub fn new() -> Self {
        let frames = frames::Frames::new();
        Self {
            known: find::Known::new(),
            heads: Arc::new(heads::Heads::new(frames.clone())),
            members: Arc::new(members::Members::new()),
            events: Arc::new(events::Events::new()),
            erased: Arc::default(),
            relations: Arc::new(relations::Memory::new()),
            turns: Arc::default(),
            pdus: Arc::new(pdus::Pdus::new()),
            cards: Arc::new(card::Cards::new()),
            listing: Arc::default(),
            recent_txns: once::recent_txns(),
            unread: Arc::new(unread::UnreadCaches::new()),
            frames,
        }
    }

    /// Those that follow the log.
    pub fn followers(&self) -> Vec<Arc<dyn Apply>> {
        vec![
            Arc::clone(&self.heads) as Arc<dyn Apply>,
            Arc::clone(&self.members) as Arc<dyn Apply>,
            Arc::clone(&self.events) as Arc<dyn Apply>,
            Arc::clone(&self.erased) as Arc<dyn Apply>,
            Arc::clone(&self.unread) as Arc<dyn Apply>,
            Arc::clone(&self.relations) as Arc<dyn Apply>,
            Arc::clone(&self.pdus) as Arc<dyn Apply>,
            Arc::clone(&self.cards) as Arc<dyn Apply>,
            Arc::clone(&self.listing) as Arc<dyn Apply>,
        ]
    }
}

impl Rooms {
    /// The rooms over their caches, which `log` already tells what changes.
    pub fn new(options: Options) -> Self {
        let Options { pool, interner, log, signer, server_name, default_version, caches } = options;
        caches.unread.begin_at(log.watermark());
        Self(Arc::new(Inner { pool, interner, log, signer, server_name, default_version, caches }))
    }

    /// The name of this server.
    pub fn server_name(&self) -> &ServerName {
        &self.0.server_name
    }

    /// The numbers of strings: event types, state keys, users.
    pub fn interner(&self) -> &Interner {
        &self.0.interner
    }
}
