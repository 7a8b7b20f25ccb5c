//! Presence and typing: what users do at this moment. It lives in memory, is told to the other nodes by the bell, and is
//! lost with the process.
//!
//! Each change that a sync may tell of gets the next stamp of this node, so that a sync finds what is new since the last
//! one without a query. What is new to a client that comes from another node is told by marks (`order`).
//!
//! **Invariant:** nothing here is written anywhere, and nothing waits for it.

mod online;
mod order;
mod status;
#[cfg(test)]
mod tests;
mod typing;

use std::{sync::Arc, time::Instant};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use self::{
    online::Polling,
    order::{Positions, Since},
    status::{State, Status},
    typing::{Typing, TypingChanges},
};
use crate::{
    bell::{Bell, Topic},
    clock::now_ms,
    log::Log,
    storage::RoomNr,
};

/// Who does what. Cheap to clone.
#[derive(Clone)]
pub struct Presence(Arc<Inner>);

struct Inner {
    log: Log,
    node: Node,
}

/// What one node knows, and what it tells the others.
struct Node {
    order: order::Order,
    typing: Typing,
    online: online::Online,
}

/// What nodes tell each other.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Ring {
    node: i64,
    /// The number of the first publication in it, if there is any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    first: Option<u64>,
    /// The number of the process's last publication. The version before has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last: Option<u64>,
    /// The process has just begun to hear, and knows nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    hello: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    typing: Option<typing::Told>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    statuses: Vec<status::Told>,
}

impl Presence {
    /// Begins with nobody doing anything, and starts the tasks that hear the other nodes and let things expire. `enabled`:
    /// whether anybody sees who is online; typing is always shown.
    pub fn start(log: Log, bell: Bell, enabled: bool, shutdown: CancellationToken, tasks: &TaskTracker) -> Self {
        let (node, rings) = Node::new(bell.is_shared(), enabled);
        let presence = Self(Arc::new(Inner { log, node }));
        if let Some(rings) = rings {
            tasks.spawn(tell(bell.clone(), rings, shutdown.clone()));
            tasks.spawn(hear(presence.clone(), bell, shutdown.clone()));
        }
        tasks.spawn(typing::expire(presence.clone(), shutdown.clone()));
        if enabled {
            tasks.spawn(online::publish(presence.clone(), shutdown));
        }
        presence
    }

    /// Names the process whose stamps [`Presence::stamp`] gives.
    pub fn node(&self) -> i64 {
        self.0.node.order.node
    }

    /// Up to which stamp everything shows to whoever looks after this call.
    pub fn stamp(&self) -> u64 {
        self.0.node.order.stamps.newest()
    }

    /// Up to which publications of all nodes everything shows to whoever looks after this call; nothing for a single node.
    pub fn positions(&self) -> Positions {
        self.0.node.order.positions(Instant::now())
    }

    /// What a client knows that was at `node` last and was told of all up to its `stamp`, and of all publications up to
    /// `positions`.
    pub fn since(&self, node: i64, stamp: u64, positions: &Positions) -> Since {
        self.0.node.order.since(node, stamp, positions)
    }
}

impl Node {
    /// And the rings that it has for the others, where there are any.
    fn new(is_shared: bool, enabled: bool) -> (Self, Option<mpsc::Receiver<Ring>>) {
        let (order, rings) = order::Order::new(is_shared);
        let (typing, online) = (Typing::new(order.stamps.clone()), online::Online::new(enabled));
        (Self { order, typing, online }, rings)
    }

    /// Takes in what another node tells. Returns the rooms that have news of who types.
    fn hear(&self, ring: &Ring, now: Instant, now_ms: i64) -> Vec<RoomNr> {
        let rooms = ring.typing.iter().filter(|told| self.hear_typing(ring.node, told, now)).map(|told| told.room);
        let rooms = rooms.collect();
        self.hear_statuses(ring, now_ms);
        // Last: who reads this first and looks then sees all of it.
        for ended in self.order.heard(ring, now) {
            self.typing.forget(ended);
            self.online.lock().forget(ended);
        }
        rooms
    }
}

/// Tells the other nodes, in the order in which it was published, until `shutdown`.
async fn tell(bell: Bell, mut rings: mpsc::Receiver<Ring>, shutdown: CancellationToken) {
    loop {
        let ring = tokio::select! {
            () = shutdown.cancelled() => return,
            Some(ring) = rings.recv() => ring,
        };
        match serde_json::to_vec(&ring) {
            Ok(payload) => bell.ring(Topic::Ephemeral, Bytes::from(payload)),
            Err(error) => tracing::error!(%error, "what is ephemeral can't be written as JSON"),
        }
    }
}

/// Takes in what other nodes tell, until `shutdown`.
async fn hear(presence: Presence, mut bell: Bell, shutdown: CancellationToken) {
    let mut rings = bell.listen(Topic::Ephemeral);
    loop {
        let ring = tokio::select! {
            () = shutdown.cancelled() => return,
            () = bell.came_up() => {
                presence.0.node.order.ring(|_| vec![Ring { hello: true, ..Ring::default() }]);
                continue;
            }
            Some(ring) = rings.recv() => ring,
        };
        match serde_json::from_slice::<Ring>(&ring) {
            Ok(ring) if ring.node == presence.node() => {}
            Ok(ring) => {
                let rooms = presence.0.node.hear(&ring, Instant::now(), now_ms());
                presence.0.log.wake(&rooms, &[]);
            }
            Err(error) => tracing::warn!(%error, "an ephemeral ring that this version can't read"),
        }
    }
}
