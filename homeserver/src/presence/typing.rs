//! Who is typing where, and until when.
//!
//! Each change gives its room the next stamp of this node, so that a sync finds what is new since the last one without
//! a query; and the mark of its publication, for clients that come from another node. The node to which a user spoke last
//! watches their time; the others do so only in case that one is gone.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{
    Node, Presence, Ring, Since,
    order::{Mark, Marks, Stamps},
};
use crate::storage::{RoomNr, UserNr};

/// Nobody types longer without saying so again.
const LONGEST: Duration = Duration::from_secs(120);
/// How long it is remembered that people have stopped.
const AFTERGLOW: Duration = Duration::from_secs(120);
/// How much longer another node's word holds than it says: that node is to say when it is over.
const GRACE: Duration = Duration::from_secs(5);
/// Who can be shown as typing in one room.
const TYPISTS: usize = 200;

/// Who is typing, on all nodes as far as this one has heard.
#[derive(Default)]
pub struct Typing {
    stamps: Stamps,
    state: Mutex<State>,
    /// Somebody began to type: there is something to expire.
    began: Notify,
}

#[derive(Default)]
struct State {
    /// The newest.
    stamp: u64,
    rooms: HashMap<RoomNr, Room>,
}

struct Room {
    /// In the order in which they began.
    users: Vec<Typist>,
    stamp: u64,
    marks: Marks,
    changed: Instant,
}

struct Typist {
    user: UserNr,
    /// Spoke to this node last.
    here: bool,
    until: Instant,
}

/// What nodes tell each other: `user` types in `room` for so long, or not any more.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Told {
    pub room: RoomNr,
    pub user: UserNr,
    /// Milliseconds; 0 when they stopped.
    pub for_ms: u64,
    /// The number of the publication; 0 where it is none.
    #[serde(default)]
    pub nr: u64,
}

/// What a client does not know yet: everybody who types in a room now. The list replaces what was told before.
pub type TypingChanges = Vec<(RoomNr, Vec<UserNr>)>;

impl Typing {
    pub(super) fn new(stamps: Stamps) -> Self {
        Self { stamps, ..Self::default() }
    }

    /// Notes that `told.user` types for so long; `here`: they said so to this node. `publish` gives the mark of what changed:
    /// it may be asked though nothing changed. Returns whether anybody waits for it.
    fn set(&self, told: &Told, here: bool, now: Instant, publish: impl FnOnce(bool) -> Option<Mark>) -> bool {
        let mut state = self.lock();
        let lasts = Duration::from_millis(told.for_ms).min(LONGEST);
        let changes = match state.rooms.get_mut(&told.room) {
            Some(room) => room.set(told.user, lasts, here, now),
            None if lasts.is_zero() => false,
            None => state.room(told.room, now).set(told.user, lasts, here, now),
        };
        let mark = publish(changes);
        if !changes && mark.is_none() {
            return false;
        }
        // What was published elsewhere is told here whether or not it changes anything: some may have heard there what this node
        // never saw.
        let room = state.room(told.room, now);
        room.touch(mark, now);
        room.stamp = self.stamps.next();
        state.stamp = room.stamp;
        true
    }

    /// Lets those stop whose time is over; `publish` gives the marks. Returns who stopped, and whether anything is left to
    /// watch.
    fn expire(&self, now: Instant, mut publish: impl FnMut() -> Mark) -> (Vec<Told>, bool) {
        let mut state = self.lock();
        let State { stamp, rooms } = &mut *state;
        let mut stopped = Vec::new();
        rooms.retain(|nr, room| {
            let ended = |typist: &Typist| typist.until + if typist.here { Duration::ZERO } else { GRACE } <= now;
            let gone: Vec<Typist> = room.users.extract_if(.., |typist| ended(typist)).collect();
            for typist in gone {
                let mark = publish();
                room.touch(Some(mark), now);
                room.stamp = self.stamps.next();
                *stamp = room.stamp;
                stopped.push(Told { room: *nr, user: typist.user, for_ms: 0, nr: mark.1 });
            }
            !room.users.is_empty() || now.saturating_duration_since(room.changed) < AFTERGLOW
        });
        (stopped, !rooms.is_empty())
    }

    /// Forgets the marks of a process that has ended.
    pub(super) fn forget(&self, node: i64) {
        self.lock().rooms.values_mut().for_each(|room| room.marks.forget(node));
    }

    pub(super) fn changes(&self, rooms: &[RoomNr], since: &Since) -> TypingChanges {
        let state = self.lock();
        if state.rooms.is_empty()
            || *since == Since::All
            || matches!(since, Since::Stamp(stamp) if *stamp >= state.stamp)
        {
            return Vec::new();
        }
        let is_news = |room: &&Room| match since {
            Since::Nothing => true,
            Since::All => false,
            Since::Stamp(stamp) => room.stamp > *stamp,
            Since::Positions(positions) => room.marks.are_beyond(positions),
        };
        let changed = |nr: &RoomNr| {
            let room = state.rooms.get(nr).filter(is_news)?;
            Some((*nr, room.users.iter().map(|typist| typist.user).collect()))
        };
        rooms.iter().filter_map(changed).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic between two steps leaves a stamp too many: harmless.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn room(&mut self, nr: RoomNr, now: Instant) -> &mut Room {
        self.rooms.entry(nr).or_insert_with(|| Room::new(now))
    }
}

impl Room {
    fn new(now: Instant) -> Self {
        Self { users: Vec::new(), stamp: 0, marks: Marks::default(), changed: now }
    }

    /// Whether that changes who is typing.
    fn set(&mut self, user: UserNr, lasts: Duration, here: bool, now: Instant) -> bool {
        let before = self.users.len();
        if lasts.is_zero() {
            self.users.retain(|typist| typist.user != user);
        } else if let Some(known) = self.users.iter_mut().find(|typist| typist.user == user) {
            (known.here, known.until) = (here, now + lasts);
        } else if before < TYPISTS {
            self.users.push(Typist { user, here, until: now + lasts });
        }
        self.users.len() != before
    }

    fn touch(&mut self, mark: Option<Mark>, now: Instant) {
        self.changed = now;
        if let Some(mark) = mark {
            self.marks.put(mark);
        }
    }
}

impl Presence {
    /// `user`, who is joined to `room`, types for so long (zero: not any more). Wakes the room's long-polls, here and on
    /// the other nodes.
    pub fn set_typing(&self, room: RoomNr, user: UserNr, lasts: Duration) {
        let for_ms = u64::try_from(lasts.min(LONGEST).as_millis()).unwrap_or(0);
        if self.0.node.say_typing(Told { room, user, for_ms, nr: 0 }, true, Instant::now()) {
            self.0.log.wake(&[room], &[]);
        }
    }

    /// Who types in `rooms`, as far as it is news.
    pub fn typing(&self, rooms: &[RoomNr], since: &Since) -> TypingChanges {
        self.0.node.typing.changes(rooms, since)
    }
}

impl Node {
    /// Another node tells. What it does not publish is what it knew already: if that is news here, this node publishes it.
    pub(super) fn hear_typing(&self, node: i64, told: &Told, now: Instant) -> bool {
        if told.nr == 0 {
            return self.say_typing(*told, false, now);
        }
        let news = self.typing.set(told, false, now, |_| Some((node, told.nr)));
        self.typing.began.notify_one();
        news
    }

    /// Returns whether that is news.
    pub(super) fn say_typing(&self, mut told: Told, here: bool, now: Instant) -> bool {
        let mut changed = false;
        self.order.ring(|next| {
            changed = self.typing.set(&told, here, now, |changes| changes.then(next));
            told.nr = if changed { self.order.last() } else { 0 };
            // That somebody goes on typing is told by the node to which they said so.
            if changed || here { vec![Ring { typing: Some(told), ..Ring::default() }] } else { Vec::new() }
        });
        self.typing.began.notify_one();
        changed
    }

    /// Lets typing expire. Returns the rooms where that is news, and whether anything is left to watch.
    pub(super) fn expire_typing(&self, now: Instant) -> (Vec<RoomNr>, bool) {
        let (mut rooms, mut more) = (Vec::new(), false);
        self.order.ring(|next| {
            let (stopped, left) = self.typing.expire(now, next);
            (rooms, more) = (stopped.iter().map(|told| told.room).collect(), left);
            stopped.into_iter().map(|told| Ring { typing: Some(told), ..Ring::default() }).collect()
        });
        (rooms, more)
    }
}

/// Lets typing expire, until `shutdown`. Sleeps while nobody types.
pub(super) async fn expire(presence: Presence, shutdown: CancellationToken) {
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = presence.0.node.typing.began.notified() => {}
        }
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(Duration::from_millis(250)) => {}
            }
            let (rooms, more) = presence.0.node.expire_typing(Instant::now());
            presence.0.log.wake(&rooms, &[]);
            if !more {
                break;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::Sym;

    const ROOM: RoomNr = RoomNr(1);
    const SECOND: Duration = Duration::from_secs(1);

    fn set(typing: &Typing, user: i32, lasts: Duration, now: Instant) -> bool {
        let for_ms = u64::try_from(lasts.as_millis()).unwrap();
        typing.set(&Told { room: ROOM, user: Sym(user), for_ms, nr: 0 }, true, now, |changes| changes.then_some((1, 1)))
    }

    fn expire(typing: &Typing, now: Instant) -> (Vec<RoomNr>, bool) {
        let (stopped, more) = typing.expire(now, || (1, 1));
        (stopped.into_iter().map(|told| told.room).collect(), more)
    }

    #[test]
    fn a_sync_hears_what_changed_since_its_stamp_and_a_newcomer_everything() {
        let (typing, now) = (Typing::default(), Instant::now());
        assert!(set(&typing, 1, SECOND, now));
        assert!(set(&typing, 2, SECOND, now));
        assert!(!set(&typing, 2, SECOND * 2, now));
        let both = vec![(ROOM, vec![Sym(1), Sym(2)])];
        assert_eq!(typing.changes(&[ROOM, RoomNr(2)], &Since::Nothing), both);
        assert_eq!(typing.changes(&[ROOM], &Since::Stamp(1)), both);
        assert_eq!(typing.changes(&[ROOM], &Since::Stamp(2)), []);
        assert_eq!(typing.changes(&[RoomNr(2)], &Since::Nothing), []);
    }

    #[test]
    fn typing_stops_by_word_or_by_time_and_the_empty_list_is_told() {
        let (typing, now) = (Typing::default(), Instant::now());
        set(&typing, 1, SECOND, now);
        set(&typing, 2, SECOND * 10, now);
        assert!(set(&typing, 2, Duration::ZERO, now));
        assert!(!set(&typing, 2, Duration::ZERO, now));
        assert_eq!(expire(&typing, now + SECOND / 2), (vec![], true));
        assert_eq!(expire(&typing, now + SECOND), (vec![ROOM], true));
        assert_eq!(typing.changes(&[ROOM], &Since::Stamp(3)), [(ROOM, vec![])]);
        assert_eq!(expire(&typing, now + SECOND + AFTERGLOW), (vec![], false));
    }
}
