//! Presence and typing: what users do at this moment. It lives in memory, is told to the other nodes by the bell, and is
//! lost with the process.
//!
//! Each change that a sync may tell of gets the next stamp of this node, so that a sync finds what is new since the last
//! one without a query. A client that comes from another node is told everything.
//!
//! **Invariant:** nothing here is written anywhere, and nothing waits for it.

mod online;
mod status;
mod typing;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use self::{
    online::Polling,
    status::{State, Status},
    typing::{Typing, TypingChanges},
};
use crate::{
    bell::{Bell, Topic},
    log::Log,
    random,
};

/// Who does what. Cheap to clone.
#[derive(Clone)]
pub struct Presence(Arc<Inner>);

struct Inner {
    log: Log,
    bell: Bell,
    /// Names this process: stamps mean something only together with it.
    node: i64,
    stamps: Stamps,
    typing: Typing,
    online: online::Online,
}

/// The node's counter of what does not last. Cheap to clone.
///
/// A stamp is taken under the lock of what changes. So whoever reads [`Stamps::newest`] first and then looks, under the
/// same locks, sees all up to it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stamps(Arc<AtomicU64>);

impl Stamps {
    fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::SeqCst) + 1
    }

    fn newest(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// What nodes tell each other.
#[derive(Debug, Serialize, Deserialize)]
struct Ring {
    node: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    typing: Option<typing::Told>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    statuses: Vec<status::Told>,
}

impl Presence {
    /// Begins with nobody doing anything, and starts the tasks that hear the other nodes and let things expire. `enabled`:
    /// whether anybody sees who is online; typing is always shown.
    pub fn start(log: Log, bell: Bell, enabled: bool, shutdown: CancellationToken, tasks: &TaskTracker) -> Self {
        // 52 bits: a number that every JSON reader keeps exactly.
        let node = i64::from_le_bytes(random::bytes()) & ((1 << 52) - 1);
        let stamps = Stamps::default();
        let (typing, online) = (Typing::new(stamps.clone()), online::Online::new(enabled));
        let presence = Self(Arc::new(Inner { log, bell, node, stamps, typing, online }));
        tasks.spawn(hear(presence.clone(), shutdown.clone()));
        tasks.spawn(typing::expire(presence.clone(), shutdown.clone()));
        if enabled {
            tasks.spawn(online::publish(presence.clone(), shutdown));
        }
        presence
    }

    /// Names the process whose stamps [`Presence::stamp`] gives.
    pub fn node(&self) -> i64 {
        self.0.node
    }

    /// Up to which stamp everything shows to whoever looks after this call.
    pub fn stamp(&self) -> u64 {
        self.0.stamps.newest()
    }

    fn ring(&self) -> Ring {
        Ring { node: self.0.node, typing: None, statuses: Vec::new() }
    }

    async fn tell(&self, ring: Ring) {
        if !self.0.bell.is_shared() {
            return;
        }
        match serde_json::to_vec(&ring) {
            Ok(payload) => self.0.bell.ring(Topic::Ephemeral, Bytes::from(payload)),
            Err(error) => tracing::error!(%error, "what is ephemeral can't be written as JSON"),
        }
    }
}

/// Takes in what other nodes tell, until `shutdown`.
async fn hear(presence: Presence, shutdown: CancellationToken) {
    let mut rings = presence.0.bell.listen(Topic::Ephemeral);
    loop {
        let ring = tokio::select! {
            () = shutdown.cancelled() => return,
            Some(ring) = rings.recv() => ring,
        };
        match serde_json::from_slice::<Ring>(&ring) {
            Ok(ring) if ring.node == presence.0.node => {}
            Ok(Ring { node, typing, statuses }) => {
                if let Some(told) = typing {
                    presence.take_in(&told);
                }
                presence.take_in_statuses(node, &statuses);
            }
            Err(error) => tracing::warn!(%error, "an ephemeral ring that this version can't read"),
        }
    }
}
