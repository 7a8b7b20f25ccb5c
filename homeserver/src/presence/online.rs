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
    Presence, Ring,
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
        f.debug_struct("Presence").field("node", &self.0.node).finish_non_exhaustive()
    }
}

impl Drop for Polling {
    fn drop(&mut self) {
        self.presence.0.online.lock().end_poll(self.user, self.device, now_ms());
    }
}

impl Online {
    pub fn new(enabled: bool) -> Self {
        Self { enabled, statuses: Mutex::default(), dirty: Notify::new(), published: watch::Sender::new(()) }
    }

    fn lock(&self) -> MutexGuard<'_, Statuses> {
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
        self.0.online.enabled
    }

    /// A device begins to wait for news and says what its user is meanwhile. `None` where that says nothing of the user.
    pub fn poll(&self, requester: &Requester, state: State) -> Option<Polling> {
        if !self.is_enabled() || state == State::Offline {
            return None;
        }
        let (user, device) = (requester.user, requester.device);
        self.0.online.change(|statuses| statuses.poll(user, device, state, now_ms()));
        Some(Polling { presence: self.clone(), user, device })
    }

    /// The user says what they are, with a message or none.
    pub fn set(&self, requester: &Requester, state: State, message: Option<Arc<str>>) {
        let (user, device) = (requester.user, requester.device);
        self.0.online.change(|statuses| statuses.set(user, device, state, message, now_ms()));
    }

    /// The user did something of their own accord.
    pub fn active(&self, requester: &Requester) {
        let (user, device) = (requester.user, requester.device);
        self.0.online.change(|statuses| statuses.active(user, device, now_ms()));
    }

    /// What a user is at this moment; offline where nothing is known.
    pub fn status(&self, user: UserNr) -> Status {
        self.0.online.lock().of(user, now_ms()).unwrap_or_default()
    }

    /// Who was published after this node's `stamp`, with which stamp, oldest first.
    pub fn published_after(&self, stamp: u64) -> Vec<(u64, UserNr)> {
        if self.is_enabled() { self.0.online.lock().published_after(stamp) } else { Vec::new() }
    }

    /// Everybody who is not offline, as published.
    pub fn present(&self) -> Vec<UserNr> {
        if self.is_enabled() { self.0.online.lock().present() } else { Vec::new() }
    }

    /// What was published of these users; those of whom nothing was are left out.
    pub fn published(&self, users: &[UserNr]) -> Vec<(UserNr, Status)> {
        if self.is_enabled() { self.0.online.lock().published(users) } else { Vec::new() }
    }

    /// Tells when something is published.
    pub fn publications(&self) -> watch::Receiver<()> {
        self.0.online.published.subscribe()
    }

    pub(super) fn take_in_statuses(&self, node: i64, told: &[Told]) {
        if !told.is_empty() {
            let hear =
                |statuses: &mut Statuses, now| told.iter().fold(false, |any, it| statuses.hear(node, it, now) | any);
            self.0.online.change(|statuses| hear(statuses, now_ms()));
        }
    }

    async fn tell_statuses(&self, told: Vec<Told>) {
        for chunk in told.chunks(AT_ONCE) {
            self.tell(Ring { statuses: chunk.to_vec(), ..self.ring() }).await;
        }
    }
}

/// Publishes what changes, until `shutdown`.
pub(super) async fn publish(presence: Presence, shutdown: CancellationToken) {
    let online = &presence.0.online;
    let mut expiry = interval(EXPIRY);
    let mut told_again = Instant::now();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = online.dirty.notified() => sleep(STEP).await,
            _ = expiry.tick() => {
                let is_dirty = online.lock().expire(now_ms());
                if told_again.elapsed() >= AGAIN {
                    told_again = Instant::now();
                    let told = online.lock().tell_again(now_ms());
                    presence.tell_statuses(told).await;
                }
                if !is_dirty {
                    continue;
                }
            }
        }
        let before = presence.stamp();
        let tell = online.lock().publish(now_ms(), || presence.0.stamps.next());
        presence.tell_statuses(tell).await;
        if presence.stamp() != before {
            online.published.send_replace(());
        }
    }
}
