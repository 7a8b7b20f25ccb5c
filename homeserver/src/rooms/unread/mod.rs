//! Whom events notify, and how much each user has not read.
//!
//! - `rules`: a user's push rules, compiled; `settled`: who has any; `audience`: a room's members as far as they matter to an
//!   evaluation
//! - `evaluate`: one evaluation for all whose rules are the predefined ones, and one each for those whom an event may
//!   concern otherwise; it joins the event's own commit
//! - `notes`: the newest notifying events, in memory; `counts`: what users have not read of them
//! - `notified`: the same again for a stored event and a few of its readers, with the actions that their rules name
//! - `thread`: which thread an event is in
//!
//! A user's count is the room's running count less what it was at the read point (a receipt, or what they wrote there last),
//! and with the exceptions that have rows of their own. Users whose rules make the room's ordinary messages silent have only these.
//!
//! **Invariant:** an ordinary message costs no query and no row a member, and no member whose rules are the predefined ones
//! is looked at one by one.

mod audience;
mod counts;
mod evaluate;
mod notes;
mod notified;
mod rules;
mod settled;
mod thread;

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

pub(super) use self::evaluate::NewEvent;
pub use self::{
    audience::Audience,
    counts::{Count, Unread},
    notified::Notification,
    rules::Rules,
};
use self::{counts::Seen, notes::Notes, settled::Settled};
use super::followed::Followed;
use crate::{
    cache::Cache,
    log::{Apply, LogEvent, Notice, Slice},
    storage::{Membership, Pos, RoomNr, UserNr},
};

/// What is kept in memory of all this. Follows the log.
pub(super) struct UnreadCaches {
    audiences: Followed<RoomNr, Arc<Mutex<Audience>>, Arc<LogEvent>>,
    rules: Followed<UserNr, Arc<Rules>>,
    settled: Settled,
    notes: Notes,
    seen: Cache<(UserNr, RoomNr), Arc<Seen>>,
    journal: Mutex<Journal>,
}

/// In members, about 200 bytes each.
const AUDIENCES: u64 = 300_000;
const RULES: u64 = 50_000;
/// Users and rooms, about 150 bytes each.
const SEEN: u64 = 200_000;
const JOURNAL: usize = 10_000;

/// What changed last: for audiences, whose rules; for those who read counts from the database, whose counts.
#[derive(Default)]
struct Journal {
    rules: Recorded<UserNr>,
    seen: Recorded<(UserNr, RoomNr)>,
}

/// The newest of many changes, numbered.
struct Recorded<T> {
    next: u64,
    list: VecDeque<T>,
}

impl<T> Default for Recorded<T> {
    fn default() -> Self {
        Self { next: 0, list: VecDeque::new() }
    }
}

impl<T> Recorded<T> {
    fn push(&mut self, item: T) {
        self.list.push_back(item);
        self.next += 1;
        if self.list.len() > JOURNAL {
            self.list.pop_front();
        }
    }

    /// What came at `from` or later; `None` where that is not known any more.
    fn since(&self, from: u64) -> Option<impl Iterator<Item = &T>> {
        let missed = usize::try_from(self.next - from).unwrap_or(usize::MAX);
        Some(self.list.range(self.list.len().checked_sub(missed)?..))
    }

    /// Makes everything before now unknown.
    fn forget(&mut self) {
        self.list.clear();
        self.next += 1;
    }
}

impl UnreadCaches {
    pub fn new() -> Self {
        let weigh = |_: &RoomNr, audience: &Arc<Mutex<Audience>>| {
            let members = audience.lock().unwrap_or_else(PoisonError::into_inner).weight();
            u32::try_from(members).unwrap_or(u32::MAX)
        };
        Self {
            audiences: Followed::new(Cache::weighed(AUDIENCES, weigh)),
            rules: Followed::new(Cache::new(RULES)),
            settled: Settled::default(),
            notes: Notes::new(),
            seen: Cache::new(SEEN),
            journal: Mutex::default(),
        }
    }

    /// Nothing was heard of what came up to `pos`.
    pub fn begin_at(&self, pos: Pos) {
        self.notes.begin_at(pos);
    }

    fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(|poisoned| {
            let mut journal = poisoned.into_inner();
            journal.rules.forget();
            journal.seen.forget();
            journal
        })
    }

    fn rules_changed(&self, user: UserNr) {
        self.settled.add(user);
        self.rules.touch(user);
        self.journal().rules.push(user);
    }

    fn forget_seen(&self, user: UserNr, room: RoomNr) {
        self.journal().seen.push((user, room));
        self.seen.invalidate(&(user, room));
    }
}

impl Apply for UnreadCaches {
    fn apply(&self, slice: &Slice, _own: bool) {
        self.notes.apply(slice);
        for notice in &slice.notices {
            if let Notice::Room(room) = notice {
                self.audiences.touch(*room);
            }
        }
        match &slice.events {
            Some(events) => {
                for event in events.iter().filter(|e| e.membership.is_some() || e.redacts.is_some()) {
                    if let Some(audience) = self.audiences.change(event.room, || Arc::clone(event)) {
                        audience.lock().unwrap_or_else(PoisonError::into_inner).follow(event);
                    }
                }
                for event in events.iter().filter(|e| e.membership.is_some()) {
                    if let Some(user) = event.state_key {
                        self.forget_seen(user, event.room);
                        // Who was nothing to the room before has read nothing of it, and has no receipts: no need to ask.
                        if event.membership == Some(Membership::Join) && event.replaces.is_none() {
                            self.seen.insert((user, event.room), Arc::new(Seen::of_newcomer(event.pos)));
                        }
                    }
                }
            }
            None => {
                slice.rooms.iter().for_each(|room| self.audiences.touch(*room));
                if !slice.rooms.is_empty() {
                    self.journal().seen.forget();
                }
            }
        }
        match &slice.beside {
            Some(beside) => {
                beside.push_rules.as_ref().unwrap_or(&beside.account_data).iter().for_each(|u| self.rules_changed(*u));
                for receipt in &beside.receipts {
                    self.journal().seen.push((receipt.user, receipt.room));
                    let key = (receipt.user, receipt.room);
                    match (self.seen.get(&key), receipt.event_pos) {
                        (Some(seen), Some(pos)) => {
                            self.seen.insert(key, Arc::new(seen.read_up_to(&receipt.thread, pos)))
                        }
                        _ => self.seen.invalidate(&key),
                    }
                }
            }
            None => slice.users.iter().for_each(|user| self.rules_changed(*user)),
        }
    }
}
