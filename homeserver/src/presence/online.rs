//! Who is online, on all nodes: takes in what devices and other nodes say, and publishes in steps.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    time::{Instant, interval, sleep},
};
use tokio_util::sync::CancellationToken;

use super::{
    Node, Presence, Ring,
    order::Positions,
    status::{State, Status, Statuses, Told},
};
use crate::{
    clock::now_ms,
    storage::{DeviceNr, UserNr},
    users::Requester,
};

/// Changes gather for so long before they are published: a thousand users cost a few steps a second.
const STEP: Duration = Duration::from_millis(500);
/// How often it is looked for what has expired.
const EXPIRY: Duration = Duration::from_secs(5);
/// How often the other nodes are told again of those who are here.
const AGAIN: Duration = Duration::from_secs(30);
/// Users in one ring.
const AT_ONCE: usize = 500;

/// Presence as one node knows it.
pub(super) struct Online {
    enabled: bool,
    statuses: Mutex<Statuses>,
    /// There is something to publish.
    dirty: Notify,
    /// Another node has just begun to hear.
    asked: Notify,
    /// Changes when something was published.
    published: watch::Sender<()>,
}

/// A device that waits in a sync; dropping it ends that.
#[derive(Debug)]
pub struct Polling {
    presence: Presence,
    user: UserNr,
    device: DeviceNr,
}

impl std::fmt::Debug for Presence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Presence").field("node", &self.node()).finish_non_exhaustive()
    }
}

impl Drop for Polling {
    fn drop(&mut self) {
        self.presence.0.node.online.lock().end_poll(self.user, self.device, now_ms());
    }
}

impl Online {
    pub fn new(enabled: bool) -> Self {
        Self {
            enabled,
            statuses: Mutex::default(),
            dirty: Notify::new(),
            asked: Notify::new(),
            published: watch::Sender::new(()),
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Statuses> {
        // A panic between two steps leaves a status that the next change mends.
        self.statuses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Statuses) -> bool) {
        if self.enabled && change(&mut self.lock()) {
            self.dirty.notify_one();
        }
    }
}

impl Presence {
    /// Whether presence is kept and shown.
    pub fn is_enabled(&self) -> bool {
        self.0.node.online.enabled
    }

    /// A device begins to wait for news and says what its user is meanwhile. `None` where that says nothing of the user.
    pub fn poll(&self, requester: &Requester, state: State) -> Option<Polling> {
        if !self.is_enabled() || state == State::Offline {
            return None;
        }
        let (user, device) = (requester.user, requester.device);
        self.0.node.online.change(|statuses| statuses.poll(user, device, state, now_ms()));
        Some(Polling { presence: self.clone(), user, device })
    }

    /// The user says what they are, with a message or none.
    pub fn set(&self, requester: &Requester, state: State, message: Option<Arc<str>>) {
        let (user, device) = (requester.user, requester.device);
        self.0.node.online.change(|statuses| statuses.set(user, device, state, message, now_ms()));
    }

    /// The user did something of their own accord.
    pub fn active(&self, requester: &Requester) {
        let (user, device) = (requester.user, requester.device);
        self.0.node.online.change(|statuses| statuses.active(user, device, now_ms()));
    }

    /// What a user is at this moment; offline where nothing is known.
    pub fn status(&self, user: UserNr) -> Status {
        self.0.node.online.lock().of(user, now_ms()).unwrap_or_default()
    }

    /// Who was published after this node's `stamp`, with which stamp, oldest first.
    pub fn published_after(&self, stamp: u64) -> Vec<(u64, UserNr)> {
        if self.is_enabled() { self.0.node.online.lock().published_after(stamp) } else { Vec::new() }
    }

    /// Of whom any node published something beyond `positions`.
    pub fn published_beyond(&self, positions: &Positions) -> Vec<UserNr> {
        if self.is_enabled() { self.0.node.online.lock().published_beyond(positions) } else { Vec::new() }
    }

    /// Everybody of whom this node knows anything.
    pub fn known(&self) -> Vec<UserNr> {
        if self.is_enabled() { self.0.node.online.lock().known() } else { Vec::new() }
    }

    /// Everybody who is not offline, as published.
    pub fn present(&self) -> Vec<UserNr> {
        if self.is_enabled() { self.0.node.online.lock().present() } else { Vec::new() }
    }

    /// What was published of these users; those of whom nothing was are left out.
    pub fn published(&self, users: &[UserNr]) -> Vec<(UserNr, Status)> {
        if self.is_enabled() { self.0.node.online.lock().published(users) } else { Vec::new() }
    }

    /// Tells when something is published.
    pub fn publications(&self) -> watch::Receiver<()> {
        self.0.node.online.published.subscribe()
    }
}

impl Node {
    pub(super) fn hear_statuses(&self, ring: &Ring, now: i64) {
        if ring.hello {
            self.online.asked.notify_one();
        }
        if ring.statuses.is_empty() {
            return;
        }
        let before = self.order.stamps.newest();
        self.online.change(|statuses| {
            let hear = |any, told| statuses.hear(ring.node, told, now, || self.order.stamps.next()) | any;
            ring.statuses.iter().fold(false, hear)
        });
        if self.order.stamps.newest() != before {
            self.online.published.send_replace(());
        }
    }

    /// Publishes what has changed, and tells the other nodes.
    pub(super) fn publish_statuses(&self, now: i64) {
        let before = self.order.stamps.newest();
        self.order.ring(|mark| rings(self.online.lock().publish(now, || self.order.stamps.next(), mark)));
        if self.order.stamps.newest() != before {
            self.online.published.send_replace(());
        }
    }

    /// Tells the other nodes of all who are here; they know by it that this node lives.
    pub(super) fn tell_again(&self, now: i64) {
        self.order.ring(|_| {
            let told = rings(self.online.lock().tell_again(now));
            if told.is_empty() { vec![Ring::default()] } else { told }
        });
    }
}

fn rings(told: Vec<Told>) -> Vec<Ring> {
    told.chunks(AT_ONCE).map(|chunk| Ring { statuses: chunk.to_vec(), ..Ring::default() }).collect()
}

/// Publishes what changes, until `shutdown`.
pub(super) async fn publish(presence: Presence, shutdown: CancellationToken) {
    let online = &presence.0.node.online;
    let mut expiry = interval(EXPIRY);
    let mut told_again = Instant::now();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = online.dirty.notified() => sleep(STEP).await,
            () = online.asked.notified() => {
                presence.0.node.tell_again(now_ms());
                continue;
            }
            _ = expiry.tick() => {
                let is_dirty = online.lock().expire(now_ms());
                if told_again.elapsed() >= AGAIN {
                    told_again = Instant::now();
                    presence.0.node.tell_again(now_ms());
                }
                if !is_dirty {
                    continue;
                }
            }
        }
        presence.0.node.publish_statuses(now_ms());
    }
}
