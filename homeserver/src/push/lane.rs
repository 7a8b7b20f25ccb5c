//! A pusher's way to its gateway: one request at a time, in the order of the events; all lanes share a number of places.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use moka::sync::Cache;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{
    Push,
    gateway::Outcome,
    notification::{Body, Notified, Target},
};
use crate::{
    metrics,
    storage::{Pos, Result, pusher::Pusher},
};

/// Requests under way at once.
const AT_ONCE: usize = 64;
/// What waits in one lane; beyond, the pusher counts as behind.
const LONGEST: usize = 50;
/// Before it is noted again that a gateway took nothing.
const PAUSE: Duration = Duration::from_secs(1);
/// Deliveries that are remembered, so that what is read twice is sent once.
const DELIVERED: u64 = 100_000;

/// What a pusher is to be told.
pub(super) enum Job {
    /// An event, and its place in the log.
    Event(Pos, Notified),
    /// How much is unread by then.
    Badge,
}

/// The pushers that have something under way.
pub(super) struct Lanes {
    lanes: Mutex<HashMap<i64, VecDeque<Job>>>,
    places: Semaphore,
    delivered: Cache<(i64, Pos), ()>,
}

impl Lanes {
    pub fn new() -> Self {
        Self { lanes: Mutex::default(), places: Semaphore::new(AT_ONCE), delivered: Cache::new(DELIVERED) }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<i64, VecDeque<Job>>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place among the requests that are under way.
    pub async fn place(&self) -> Option<SemaphorePermit<'_>> {
        self.places.acquire().await.ok()
    }

    /// Puts something in. Returns the pusher if nobody drives its lane: the caller does then.
    pub fn put(&self, pusher: &Pusher, job: Job) -> Option<Pusher> {
        let mut lanes = self.lock();
        if let Some(jobs) = lanes.get_mut(&pusher.nr) {
            // One count is enough.
            if !matches!((&job, jobs.back()), (Job::Badge, Some(Job::Badge))) {
                jobs.push_back(job);
            }
            return None;
        }
        lanes.insert(pusher.nr, [job].into());
        Some(pusher.clone())
    }

    /// The next event, and how many wait behind it; the lane ends where there is none.
    fn next(&self, nr: i64) -> Option<(Job, usize)> {
        let mut lanes = self.lock();
        let jobs = lanes.get_mut(&nr)?;
        match jobs.pop_front() {
            Some(job) => Some((job, jobs.len())),
            None => {
                lanes.remove(&nr);
                None
            }
        }
    }

    /// Ends the lane and returns what was in it.
    fn end(&self, nr: i64) -> VecDeque<Job> {
        self.lock().remove(&nr).unwrap_or_default()
    }
}

impl Push {
    /// Puts something into a pusher's lane, and has it driven.
    pub(super) fn put(&self, pusher: &Pusher, job: Job) {
        if let Some(starting) = self.0.lanes.put(pusher, job) {
            self.0.spawn(self.clone().drive(starting));
        }
    }

    /// Delivers what is in the pusher's lane, until it is empty or the gateway takes nothing.
    async fn drive(self, pusher: Pusher) {
        while let Some((job, waiting)) = self.0.lanes.next(pusher.nr) {
            let Job::Event(pos, notified) = job else {
                if self.tell_badge(&pusher).await {
                    continue;
                }
                return self.close(self.0.lanes.end(pusher.nr));
            };
            let full = waiting >= LONGEST;
            let outcome = if full { Ok(Outcome::Failed) } else { self.deliver(&pusher, &notified).await };
            if let Ok(Outcome::Taken) = outcome {
                self.0.follow.close(pos);
                continue;
            }
            if !matches!(outcome, Ok(Outcome::Gone)) {
                // What is noted here is read from the database when the gateway is tried again.
                let behind = Pos(pos.0 - 1);
                while let Err(error) = self.fall_behind(&pusher, behind).await {
                    tracing::warn!(%error, "can't note that a push gateway takes nothing");
                    tokio::time::sleep(PAUSE).await;
                }
            }
            self.close(self.0.lanes.end(pusher.nr));
            return self.0.follow.close(pos);
        }
    }

    fn close(&self, jobs: VecDeque<Job>) {
        for job in jobs {
            if let Job::Event(pos, _) = job {
                self.0.follow.close(pos);
            }
        }
    }

    /// Sends one event, if it is still unread and was not sent before.
    pub(super) async fn deliver(&self, pusher: &Pusher, notified: &Notified) -> Result<Outcome> {
        let Some(pos) = notified.event.pos else { return Ok(Outcome::Taken) };
        let _place = self.0.lanes.place().await;
        let known = (pusher.nr, pos);
        if self.0.lanes.delivered.contains_key(&known) || self.0.rooms.is_read(pusher.user, &notified.event).await? {
            return Ok(Outcome::Taken);
        }
        let Some(target) = Target::of(pusher) else { return Ok(Outcome::Taken) };
        let unread = if target.badge { self.unread(pusher.user).await? } else { 0 };
        // Counts that are zero are left out.
        let unread = Some(unread).filter(|unread| *unread > 0);
        let body = self.notification(pusher, &target, notified, unread).await?;
        let outcome = self.request(pusher, &target, &body, unread).await?;
        if outcome == Outcome::Taken {
            self.0.lanes.delivered.insert(known, ());
        }
        Ok(outcome)
    }

    /// Asks the gateway. `unread`: the count that it is told.
    pub(super) async fn request(
        &self,
        pusher: &Pusher,
        target: &Target,
        body: &Body,
        unread: Option<u64>,
    ) -> Result<Outcome> {
        let outcome = self.0.gateway.notify(&target.url, body, &pusher.pushkey).await;
        match outcome {
            Outcome::Taken => {
                metrics::PUSHES.add(1);
                if let Some(unread) = unread {
                    self.note_badge(pusher, unread).await;
                }
            }
            Outcome::Failed => metrics::PUSH_FAILURES.add(1),
            Outcome::Gone => self.drop_pusher(pusher).await?,
        }
        Ok(outcome)
    }
}
