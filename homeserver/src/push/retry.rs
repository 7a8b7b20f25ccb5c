//! Pushers whose gateway takes nothing: tried again later and later, with what is unread by then.

use std::{sync::Arc, time::Duration};

use super::{
    Push,
    gateway::Outcome,
    lane::Job,
    notification::{Notified, STALE_MS},
};
use crate::{
    backoff::Backoff,
    clock::now_ms,
    storage::{self, Pos, Result, pusher::Pusher},
};

/// After a first failure; each pause is twice the one before.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30 * 60);
/// The newest unread events that are told when a gateway is back; the counts tell of the rest.
const CATCH_UP: usize = 20;

impl Push {
    /// Notes that a pusher's gateway took nothing after `behind`, and sees to it unless another node does already.
    pub(super) async fn fall_behind(&self, pusher: &Pusher, behind: Pos) -> Result<()> {
        let mine = storage::pusher::fall_behind(&self.0.pool, pusher.nr, behind, self.0.log.writer()).await?;
        self.tell(pusher.user).await;
        if mine {
            self.pursue_later(pusher);
        }
        Ok(())
    }

    /// Tries a pusher that is behind again and again.
    pub(super) fn pursue_later(&self, pusher: &Pusher) {
        let (push, pusher) = (self.clone(), pusher.clone());
        self.0.spawn(async move {
            let mut backoff = Backoff::new(FIRST_PAUSE, LONGEST_PAUSE);
            loop {
                backoff.wait().await;
                match push.catch_up(&pusher).await {
                    Ok(true) => return,
                    Ok(false) => {}
                    Err(error) => tracing::warn!(%error, "can't read what a push gateway has missed"),
                }
            }
        });
    }

    /// Sends what the gateway has missed. `true`: there is nothing more to do about it.
    async fn catch_up(&self, pusher: &Pusher) -> Result<bool> {
        let current = storage::pusher::of_users(&self.0.pool, &[pusher.user]).await?;
        let Some(current) = current.into_iter().find(|p| p.nr == pusher.nr) else { return Ok(true) };
        let Some(behind) = current.behind else { return Ok(true) };
        let seen = self.0.log.watermark();
        if !self.send_missed(&current, behind).await? {
            return Ok(false);
        }
        storage::pusher::caught_up(&self.0.pool, current.nr).await?;
        self.tell(current.user).await;
        // What came meanwhile was still passed over.
        if !self.send_missed(&current, seen).await? {
            self.fall_behind(&current, seen).await?;
        } else {
            self.put(&current, Job::Badge);
        }
        Ok(true)
    }

    /// `false`: the gateway still takes nothing.
    async fn send_missed(&self, pusher: &Pusher, after: Pos) -> Result<bool> {
        let missed = self.0.rooms.notifications(pusher.user, (after, Pos(i64::MAX)), CATCH_UP, false).await?;
        let old = (now_ms() - STALE_MS).max(pusher.created_ts);
        for missed in missed.into_iter().rev().filter(|missed| !missed.read && missed.event.ts >= old) {
            let pos = missed.event.pos.unwrap_or_default();
            let notified = Notified { event: missed.event, room: missed.room, actions: Arc::from(missed.actions) };
            match self.deliver(pusher, &notified).await? {
                Outcome::Taken => {}
                Outcome::Gone => return Ok(true),
                Outcome::Failed => {
                    storage::pusher::moved_on(&self.0.pool, pusher.nr, Pos(pos.0 - 1)).await?;
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }
}
