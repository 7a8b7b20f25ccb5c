//! Sync: what is new for a device since it last asked.
//!
//! `poll` waits until there is something for a `reader`; `read` gathers it, a handful of queries whatever the number of rooms;
//! each section of the answer has a file:
//!
//! - `scope`, `plan`: which rooms it is about, and how the reader came to be in them
//! - `look`, `parts`: their newest events with the states around them, and what is told of those
//! - `timeline`, `state`, `summary`, `ephemeral`, `typing`, `stripped`: the parts of a room
//! - `presence`: who is online of those that the reader meets
//! - `account_data`, `to_device`, `device_lists`, `key_counts`: what belongs to the user or the device
//! - `filter`, `filters`: what the client asked to see, and the filters it stored
//! - `token`: how far it has read; `touched`, `recency`, `lazy`, `ignored`: what is kept in memory so that little is asked
//!   twice
//! - [`sliding`]: the same as windows over the user's rooms
//! - `answer`: the JSON, joined from the stored events' text
//!
//! **Invariant:** nothing here writes what others see: all that a sync changes is that its own device's to-device messages
//! are deleted once the next token shows that they arrived.

mod account_data;
mod answer;
mod device_lists;
mod ephemeral;
mod filter;
mod filters;
mod ignored;
mod key_counts;
mod lazy;
mod look;
mod parts;
mod plan;
mod poll;
mod presence;
mod read;
mod reader;
mod recency;
mod scope;
pub mod sliding;
mod state;
mod stripped;
mod summary;
mod timeline;
mod to_device;
mod token;
mod touched;
mod typing;

use std::sync::Arc;

pub use filter::Filter;
pub use filters::FilterError;
pub use ignored::{IGNORED_USERS, is_short};
pub use poll::{Request, SyncError};
pub use reader::StateAfter;
use sqlx::PgPool;
pub use token::Token;
use tokio_util::sync::CancellationToken;

use crate::{
    keys::Keys,
    log::{Apply, Log},
    presence::Presence,
    rooms::Rooms,
    storage::{self, Interner},
    users::PushRules,
};

/// The sync service. Cheap to clone.
#[derive(Clone)]
pub struct Sync(Arc<Inner>);

/// What sync is built from.
pub struct Options {
    pub pool: PgPool,
    pub log: Log,
    pub rooms: Rooms,
    pub keys: Keys,
    pub presence: Presence,
    pub push_rules: PushRules,
    pub caches: Caches,
    /// Long-polls return when the node goes down.
    pub draining: CancellationToken,
}

/// What is kept in memory and follows the log. Built before the log, which tells it what is new.
#[derive(Clone)]
pub struct Caches {
    touched: Arc<touched::Touched>,
    recency: Arc<recency::Recency>,
    metas: Arc<sliding::Metas>,
    spaces: Arc<sliding::Spaces>,
}

impl Caches {
    /// Empty caches.
    ///
    /// # Errors
    /// The database's own.
    pub async fn new(interner: &Interner) -> storage::Result<Self> {
        Ok(Self {
            touched: Arc::new(touched::Touched::new()),
            recency: Arc::new(recency::Recency::new(interner).await?),
            metas: Arc::new(sliding::Metas::new()),
            spaces: Arc::new(sliding::Spaces::new()),
        })
    }

    /// Those that follow the log.
    pub fn followers(&self) -> Vec<Arc<dyn Apply>> {
        vec![
            Arc::clone(&self.touched) as _,
            Arc::clone(&self.recency) as _,
            Arc::clone(&self.metas) as _,
            Arc::clone(&self.spaces) as _,
        ]
    }
}

struct Inner {
    pool: PgPool,
    log: Log,
    rooms: Rooms,
    keys: Keys,
    presence: Presence,
    push_rules: PushRules,
    caches: Caches,
    draining: CancellationToken,
    filters: filters::Filters,
    ignored: ignored::Ignored,
    carried: presence::Carried,
    summaries: summary::Summaries,
    told: lazy::MembersTold,
    delivered: to_device::Delivered,
    connections: sliding::Connections,
    labels: sliding::RoomLabels,
    sent_away: sliding::SentAway,
}

impl Sync {
    /// Sync over what is below it.
    pub fn new(options: Options) -> Self {
        let Options { pool, log, rooms, keys, presence, push_rules, caches, draining } = options;
        caches.touched.begin_at(log.watermark());
        Self(Arc::new(Inner {
            pool,
            log,
            rooms,
            keys,
            presence,
            push_rules,
            caches,
            draining,
            filters: filters::Filters::new(),
            ignored: ignored::Ignored::new(),
            carried: presence::Carried::default(),
            summaries: summary::Summaries::new(),
            told: lazy::MembersTold::new(),
            delivered: to_device::Delivered::new(),
            connections: sliding::Connections::new(),
            labels: sliding::RoomLabels::new(),
            sent_away: sliding::SentAway::new(50_000),
        }))
    }
}
