//! What of the committed events goes to whom.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::{
    Push,
    lane::Job,
    notification::{Notified, STALE_MS},
};
use crate::{
    clock::now_ms,
    rooms::StoredEvent,
    storage::{self, EventNr, Membership, Pos, Result, Sym, UserNr, pusher::Pusher},
};

/// Events taken at once.
const BATCH: usize = 100;
/// Events read from the database at once.
const PAGE: i64 = 500;

impl Push {
    /// Decides about what this node committed, until `shutdown`.
    pub(super) async fn work(self, shutdown: CancellationToken) {
        let Some(mut queue) = self.0.follow.receiver() else { return };
        let mut batch: Vec<(EventNr, Pos)> = Vec::with_capacity(BATCH);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                count = queue.recv_many(&mut batch, BATCH) => {
                    if count == 0 {
                        return;
                    }
                    self.decide(&batch, true).await;
                    batch.clear();
                }
                () = self.0.follow.missing() => {
                    let Some(lost) = self.0.follow.take_lost() else { continue };
                    if let Err(error) = self.decide_left(self.0.log.writer(), Pos(lost.0 - 1)).await {
                        tracing::warn!(%error, "can't read what is to be pushed");
                    }
                    self.0.follow.close(lost);
                }
            }
        }
    }

    /// Decides about what `writer` committed after `after`.
    pub(super) async fn decide_left(&self, writer: i64, mut after: Pos) -> Result<()> {
        loop {
            let left = storage::pusher::left(&self.0.pool, writer, after, now_ms() - STALE_MS, PAGE).await?;
            let Some((_, last)) = left.last() else { return Ok(()) };
            after = *last;
            self.decide(&left, false).await;
        }
    }

    /// `open`: each of the events counts as open, and is closed here.
    async fn decide(&self, events: &[(EventNr, Pos)], open: bool) {
        let numbers: Vec<EventNr> = events.iter().map(|(nr, _)| *nr).collect();
        match self.0.rooms.events(&numbers).await {
            Ok(events) => {
                for event in events {
                    if let Err(error) = self.decide_one(event).await {
                        tracing::warn!(%error, "can't decide whom an event is to be pushed to");
                    }
                }
            }
            Err(error) => tracing::warn!(%error, "can't read events that are to be pushed"),
        }
        if open {
            events.iter().for_each(|(_, pos)| self.0.follow.close(*pos));
        }
    }

    async fn decide_one(&self, event: Arc<StoredEvent>) -> Result<()> {
        let members = self.0.rooms.joined_members(event.room).await?;
        let mut users = self.0.follow.holders.among(&members);
        // Who is invited is no member yet.
        if event.kind == Sym::MEMBER && event.membership == Some(Membership::Invite) {
            let invited: Vec<UserNr> = event.state_key.into_iter().collect();
            users.extend(self.0.follow.holders.among(&invited));
        }
        users.retain(|user| *user != event.sender);
        if users.is_empty() {
            return Ok(());
        }
        let pushers = self.0.follow.holders.pushers(&self.0.pool, &users).await?;
        users.retain(|user| pushers.get(user).is_some_and(|pushers| !pushers.is_empty()));
        if users.is_empty() {
            return Ok(());
        }
        let room = self.0.rooms.find_nr(event.room).await?;
        for (user, actions) in self.0.rooms.notified(&room, &event, &users).await? {
            let notified = Notified { event: Arc::clone(&event), room: Arc::clone(&room), actions: actions.into() };
            for pusher in pushers.get(&user).into_iter().flat_map(|pushers| pushers.iter()) {
                self.send(pusher, notified.clone());
            }
        }
        Ok(())
    }

    fn send(&self, pusher: &Pusher, notified: Notified) {
        let Some(pos) = notified.event.pos else { return };
        // What was said before the pusher was there is old.
        if notified.event.ts < pusher.created_ts || pusher.behind.is_some() {
            return;
        }
        self.0.follow.open(pos);
        self.put(pusher, Job::Event(pos, notified));
    }
}
