//! What this node committed, on its way to the worker.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use tokio::sync::{Notify, mpsc};

use super::{badges::Badges, holders::Holders};
use crate::{
    log::{Apply, LogEvent, Notice, Slice},
    storage::{EventNr, Membership, Pos, UserNr},
};

/// Events that wait for the worker; beyond, they are read from the database.
const QUEUE: usize = 10_000;

/// Follows the log.
pub struct Follow {
    pub(super) holders: Holders,
    pub(super) badges: Badges,
    sender: mpsc::Sender<(EventNr, Pos)>,
    receiver: Mutex<Option<mpsc::Receiver<(EventNr, Pos)>>>,
    progress: Mutex<Progress>,
    /// Something is to be read from the database.
    missing: Notify,
    /// Another node has committed events since this was last looked at.
    others: AtomicBool,
}

/// How far this node is with what it committed.
#[derive(Default)]
struct Progress {
    /// What it committed last.
    committed: Pos,
    /// What is not done with, by position, with how many things are left to do about it.
    open: BTreeMap<Pos, usize>,
    /// From here on the queue does not have everything.
    lost: Option<Pos>,
}

impl Progress {
    fn lose(&mut self, pos: Pos) {
        self.lost = Some(self.lost.map_or(pos, |lost| lost.min(pos)));
    }
}

impl Follow {
    /// Hears nothing yet.
    #[expect(clippy::new_without_default, reason = "an end of a queue is no default of anything")]
    pub fn new() -> Self {
        let (sender, receiver) = mpsc::channel(QUEUE);
        Self {
            holders: Holders::new(),
            badges: Badges::new(),
            sender,
            receiver: Mutex::new(Some(receiver)),
            progress: Mutex::default(),
            missing: Notify::new(),
            others: AtomicBool::new(false),
        }
    }

    /// The worker's end; there is one.
    pub(super) fn receiver(&self) -> Option<mpsc::Receiver<(EventNr, Pos)>> {
        self.receiver.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One thing more is to do about what was committed at `pos`.
    pub(super) fn open(&self, pos: Pos) {
        *self.progress().open.entry(pos).or_default() += 1;
    }

    /// One thing less.
    pub(super) fn close(&self, pos: Pos) {
        let mut progress = self.progress();
        if let Some(left) = progress.open.get_mut(&pos) {
            *left -= 1;
            if *left == 0 {
                progress.open.remove(&pos);
            }
        }
    }

    /// Everything that this node committed up to here is done with.
    pub(super) fn done(&self) -> Pos {
        let progress = self.progress();
        let first = progress.open.keys().next().copied().into_iter().chain(progress.lost).min();
        first.map_or(progress.committed, |pos| Pos(pos.0 - 1))
    }

    /// From where on the database is to be read, because the queue was full or this node's own slice came back without its
    /// events. It counts as open until the caller closes it.
    pub(super) fn take_lost(&self) -> Option<Pos> {
        let mut progress = self.progress();
        let lost = progress.lost.take()?;
        *progress.open.entry(lost).or_default() += 1;
        Some(lost)
    }

    /// Returns when [`Self::take_lost`] may have something.
    pub(super) async fn missing(&self) {
        self.missing.notified().await;
    }

    /// Users with pushers whose counts changed because of other rules.
    fn ruled_anew(&self, slice: &Slice) -> Vec<UserNr> {
        let beside = slice.beside.iter().filter_map(|beside| beside.push_rules.as_ref());
        let users: Vec<UserNr> = beside.flatten().copied().collect();
        if self.holders.is_empty() || users.is_empty() { Vec::new() } else { self.holders.among(&users) }
    }

    /// Users with pushers whose counts may have fallen: they read, wrote into a room or left one.
    fn counted_anew(&self, slice: &Slice) -> Vec<UserNr> {
        if self.holders.is_empty() {
            return Vec::new();
        }
        let mut users: Vec<UserNr> = Vec::new();
        if let Some(beside) = &slice.beside {
            users.extend(beside.receipts.iter().map(|receipt| receipt.user));
        }
        let wrote = slice.events.iter().flatten().filter(|event| event.membership.is_none());
        users.extend(wrote.map(|event| event.sender));
        let gone = |event: &&Arc<LogEvent>| matches!(event.membership, Some(Membership::Leave | Membership::Ban));
        users.extend(slice.events.iter().flatten().filter(gone).filter_map(|event| event.state_key));
        users.sort_unstable();
        users.dedup();
        self.holders.among(&users)
    }

    /// Whether other nodes have written since the last call.
    pub(super) fn take_others(&self) -> bool {
        self.others.swap(false, Ordering::Relaxed)
    }
}

impl Apply for Follow {
    fn apply(&self, slice: &Slice, own: bool) {
        for notice in &slice.notices {
            if let Notice::User(user) = notice {
                self.holders.touch(*user);
            }
        }
        self.badges.touch(&self.counted_anew(slice), own, false);
        self.badges.touch(&self.ruled_anew(slice), own, true);
        if !own {
            self.others.store(true, Ordering::Relaxed);
            return;
        }
        let mut progress = self.progress();
        progress.committed = slice.last;
        if slice.rooms.is_empty() || self.holders.is_empty() {
            return;
        }
        let Some(events) = &slice.events else {
            progress.lose(slice.first);
            self.missing.notify_one();
            return;
        };
        for event in events.iter().filter(|event| event.redacts.is_none()) {
            if self.sender.try_send((event.nr, event.pos)).is_ok() {
                *progress.open.entry(event.pos).or_default() += 1;
            } else {
                progress.lose(event.pos);
                self.missing.notify_one();
            }
        }
    }
}
