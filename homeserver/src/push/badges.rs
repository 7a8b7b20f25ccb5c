//! The number on an app's icon, told by itself where it changed without an event that is pushed: the user read a room on
//! another device or wrote there, left one, or changed their rules.
//!
//! Nodes tell each other what gateways were told last. The node that took the change speaks; the others look a little
//! later whether it did, because what nodes tell each other may get lost.
//!
//! Source: push gateway API, `POST /_matrix/push/v1/notify`: counts "may be sent along with a notification about an event
//! or by themselves".

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use moka::sync::Cache;
use serde::{Deserialize, Serialize};
use tokio::{
    sync::Notify,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{Push, gateway::Outcome, lane::Job, notification::Target};
use crate::{
    bell::Topic,
    storage::{Result, UserNr, pusher::Pusher},
};

/// Changes gather for so long: a pusher is told once a second at most.
const STEP: Duration = Duration::from_secs(1);
/// When a node looks after another one's change.
const LATER: Duration = Duration::from_secs(4);
/// After a gateway took nothing for the first time; each pause is twice the one before.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// Then it is left to the next change.
const ATTEMPTS: u32 = 10;
/// Pushers of whom it is remembered what they were told; of others it is not known.
const CAPACITY: u64 = 200_000;

/// Whose count may have changed, and what gateways were told.
pub(super) struct Badges {
    due: Mutex<HashMap<UserNr, Recount>>,
    changed: Notify,
    /// By the pusher's number.
    told: Cache<i64, u64>,
    /// How often a gateway has taken nothing.
    failures: Cache<i64, u32>,
}

/// When to count anew what a user has not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Recount {
    at: Instant,
    /// Whether to speak also where it is not known what was told last.
    sure: bool,
    /// It may be more than before.
    risen: bool,
}

/// What nodes tell each other.
#[derive(Serialize, Deserialize)]
struct Ring {
    writer: i64,
    pusher: i64,
    unread: u64,
}

impl Badges {
    pub fn new() -> Self {
        let (told, failures) = (Cache::new(CAPACITY), Cache::new(CAPACITY));
        Self { due: Mutex::default(), changed: Notify::new(), told, failures }
    }

    fn due(&self) -> MutexGuard<'_, HashMap<UserNr, Recount>> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// These users' counts may have changed. `own`: by what this node committed; `risen`: not only fallen.
    pub fn touch(&self, users: &[UserNr], own: bool, risen: bool) {
        let now = Instant::now();
        let new = Recount { at: if own { now } else { now + LATER }, sure: own, risen };
        let mut due = self.due();
        for user in users {
            let known = due.entry(*user).or_insert(new);
            let (sure, risen) = (known.sure || new.sure, known.risen || new.risen);
            *known = Recount { at: known.at.min(new.at), sure, risen };
        }
        drop(due);
        if !users.is_empty() {
            self.changed.notify_one();
        }
    }

    /// The users to look at now, and when the next one is due.
    fn take(&self, now: Instant) -> (Vec<(UserNr, Recount)>, Option<Instant>) {
        let mut due = self.due();
        let taken: Vec<(UserNr, Recount)> = due.extract_if(|_, due| due.at <= now).collect();
        (taken, due.values().map(|due| due.at).min())
    }

    /// What the gateway was told last, as far as it is known.
    fn told(&self, pusher: i64) -> Option<u64> {
        self.told.get(&pusher)
    }

    /// Returns when it is time to look again.
    async fn ripe(&self, next: Option<Instant>) {
        let next = async {
            match next {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = next => {}
            () = self.changed.notified() => sleep(STEP).await,
        }
    }

    fn try_again(&self, pusher: &Pusher) {
        let failures = self.failures.get(&pusher.nr).unwrap_or(0);
        if failures >= ATTEMPTS {
            return self.failures.invalidate(&pusher.nr);
        }
        self.failures.insert(pusher.nr, failures + 1);
        let at = Instant::now() + FIRST_PAUSE * 2_u32.pow(failures);
        self.due().entry(pusher.user).or_insert(Recount { at, sure: true, risen: true });
        self.changed.notify_one();
    }
}

impl Push {
    /// Tells pushers what became of their users' counts, until `shutdown`.
    pub(super) async fn keep_badges(self, shutdown: CancellationToken) {
        let badges = &self.0.follow.badges;
        let mut next = None;
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = badges.ripe(next) => {}
            }
            let (due, later) = badges.take(Instant::now());
            next = later;
            if let Err(error) = self.look_at_badges(due).await {
                tracing::warn!(%error, "can't read the pushers of who has read something");
            }
        }
    }

    /// Hears what other nodes told, until `shutdown`.
    pub(super) async fn hear_badges(self, shutdown: CancellationToken) {
        let mut rings = self.0.bell.listen(Topic::Badges);
        loop {
            let ring = tokio::select! {
                () = shutdown.cancelled() => return,
                Some(ring) = rings.recv() => ring,
            };
            match serde_json::from_slice::<Ring>(&ring) {
                Ok(ring) if ring.writer == self.0.log.writer() => {}
                Ok(ring) => self.0.follow.badges.told.insert(ring.pusher, ring.unread),
                Err(error) => tracing::warn!(%error, "a ring about a badge that this version can't read"),
            }
        }
    }

    async fn look_at_badges(&self, mut due: Vec<(UserNr, Recount)>) -> Result<()> {
        due.sort_unstable_by_key(|(user, _)| *user);
        let users: Vec<UserNr> = due.iter().map(|(user, _)| *user).collect();
        let pushers = self.0.follow.holders.pushers(&self.0.pool, &users).await?;
        for (user, due) in due {
            let of_user = pushers.get(&user).into_iter().flat_map(|pushers| pushers.iter());
            // Whoever is behind is told when they have caught up.
            for pusher in of_user.filter(|pusher| pusher.behind.is_none()) {
                let speaks = match self.0.follow.badges.told(pusher.nr) {
                    None => due.sure,
                    // There is nothing below it.
                    Some(told) => told > 0 || due.risen,
                };
                if speaks {
                    self.put(pusher, Job::Badge);
                }
            }
        }
        Ok(())
    }

    /// Sends the count alone, if it is not what the gateway was told last.
    pub(super) async fn deliver_badge(&self, pusher: &Pusher) -> Result<Outcome> {
        let Some(target) = Target::of(pusher).filter(|target| target.badge) else { return Ok(Outcome::Taken) };
        let _place = self.0.lanes.place().await;
        let unread = self.unread(pusher.user).await?;
        if self.0.follow.badges.told(pusher.nr) == Some(unread) {
            return Ok(Outcome::Taken);
        }
        self.request(pusher, &target, &target.badge(pusher, unread), Some(unread)).await
    }

    /// The same, and again later where the gateway does not take it. `false`: the pusher is gone.
    pub(super) async fn tell_badge(&self, pusher: &Pusher) -> bool {
        match self.deliver_badge(pusher).await {
            Ok(Outcome::Taken) => {}
            Ok(Outcome::Gone) => return false,
            Ok(Outcome::Failed) => self.0.follow.badges.try_again(pusher),
            Err(error) => {
                tracing::warn!(%error, "can't count what a user has not read");
                self.0.follow.badges.try_again(pusher);
            }
        }
        true
    }

    /// Remembers on all nodes what a gateway was told.
    pub(super) async fn note_badge(&self, pusher: &Pusher, unread: u64) {
        let badges = &self.0.follow.badges;
        badges.told.insert(pusher.nr, unread);
        badges.failures.invalidate(&pusher.nr);
        if !self.0.bell.is_shared() {
            return;
        }
        match serde_json::to_vec(&Ring { writer: self.0.log.writer(), pusher: pusher.nr, unread }) {
            Ok(payload) => self.0.bell.ring(Topic::Badges, Bytes::from(payload)),
            Err(error) => tracing::error!(%error, "what a gateway was told can't be written as JSON"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::Sym;

    #[test]
    fn changes_gather_and_those_of_other_nodes_wait() {
        let badges = Badges::new();
        let users = |(due, next): (Vec<(UserNr, Recount)>, Option<Instant>)| {
            let mut users: Vec<(i32, bool)> = due.iter().map(|(user, due)| (user.0, due.sure)).collect();
            users.sort_unstable();
            (users, next.is_some())
        };
        badges.touch(&[Sym(2), Sym(3)], false, false);
        badges.touch(&[Sym(1), Sym(2)], true, false);
        badges.touch(&[Sym(1)], true, true);
        let now = Instant::now();
        assert_eq!(users(badges.take(now)), (vec![(1, true), (2, true)], true));
        assert_eq!(users(badges.take(now + LATER)), (vec![(3, false)], false));
    }
}
