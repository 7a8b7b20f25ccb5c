//! Presence: what users do at this moment. It lives in memory, is told to the other nodes by the bell, and is lost with
//! the process.
//!
//! **Invariant:** nothing here is written anywhere, and nothing waits for it.

mod typing;

use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
pub use typing::{Typing, TypingChanges};

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
    typing: Typing,
}

/// What nodes tell each other.
#[derive(Debug, Serialize, Deserialize)]
struct Ring {
    node: i64,
    #[serde(default)]
    typing: Option<typing::Told>,
}

impl Presence {
    /// Begins with nobody doing anything, and starts the tasks that hear the other nodes and let typing expire.
    pub fn start(log: Log, bell: Bell, shutdown: CancellationToken, tasks: &TaskTracker) -> Self {
        // 52 bits: a number that every JSON reader keeps exactly.
        let node = i64::from_le_bytes(random::bytes()) & ((1 << 52) - 1);
        let presence = Self(Arc::new(Inner { log, bell, node, typing: Typing::default() }));
        tasks.spawn(hear(presence.clone(), shutdown.clone()));
        tasks.spawn(typing::expire(presence.clone(), shutdown));
        presence
    }

    /// Names the process whose stamps [`Presence::typing`] gives.
    pub fn node(&self) -> i64 {
        self.0.node
    }

    async fn tell(&self, ring: Ring) {
        if !self.0.bell.is_shared() {
            return;
        }
        match serde_json::to_vec(&ring) {
            Ok(payload) => self.0.bell.ring(Topic::Ephemeral, Bytes::from(payload)).await,
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
            Ok(Ring { typing: Some(told), .. }) => presence.take_in(&told),
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "an ephemeral ring that this version can't read"),
        }
    }
}
