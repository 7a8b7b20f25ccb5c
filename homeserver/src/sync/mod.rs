//! Sync: what is new for a device since it last asked.
//!
//! `poll` waits until there is something; `read` gathers it, a handful of queries whatever the number of rooms; each
//! section of the answer has a file:
//!
//! - `scope`, `plan`: which rooms it is about, and how the reader came to be in them
//! - `timeline`, `state`, `summary`, `ephemeral`, `typing`, `stripped`: the parts of a room
//! - `account_data`, `to_device`, `device_lists`, `key_counts`: what belongs to the user or the device
//! - `filter`, `filters`: what the client asked to see, and the filters it stored
//! - `token`: how far it has read; `touched`, `lazy`, `ignored`: what is kept in memory so that little is asked twice
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
mod plan;
mod poll;
mod read;
mod scope;
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
pub use poll::{Request, StateAfter, SyncError};
use sqlx::PgPool;
pub use token::Token;
use tokio_util::sync::CancellationToken;
pub use touched::Touched;

use crate::{keys::Keys, log::Log, presence::Presence, rooms::Rooms, users::PushRules};

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
    /// Built before the log, which tells it what is new.
    pub touched: Arc<Touched>,
    /// Long-polls return when the node goes down.
    pub draining: CancellationToken,
}

struct Inner {
    pool: PgPool,
    log: Log,
    rooms: Rooms,
    keys: Keys,
    presence: Presence,
    push_rules: PushRules,
    touched: Arc<Touched>,
    draining: CancellationToken,
    filters: filters::Filters,
    ignored: ignored::Ignored,
    summaries: summary::Summaries,
    told: lazy::Told,
    delivered: to_device::Delivered,
}

impl Sync {
    /// Sync over what is below it.
    pub fn new(options: Options) -> Self {
        let Options { pool, log, rooms, keys, presence, push_rules, touched, draining } = options;
        touched.begin_at(log.watermark());
        Self(Arc::new(Inner {
            pool,
            log,
            rooms,
            keys,
            presence,
            push_rules,
            touched,
            draining,
            filters: filters::Filters::new(),
            ignored: ignored::Ignored::new(),
            summaries: summary::Summaries::new(),
            told: lazy::Told::new(),
            delivered: to_device::Delivered::new(),
        }))
    }
}
