//! Who is typing where, and until when.
//!
//! Each change gives its room the next stamp of this node, so that a sync finds what is new since the last one without
//! a query. A client that comes from another node is told everything, rooms in which nobody types any more included.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{Presence, Ring, Stamps};
use crate::storage::{RoomNr, UserNr};

/// Nobody types longer without saying so again.
const LONGEST: Duration = Duration::from_secs(120);
/// How long it is remembered that people have stopped.
const AFTERGLOW: Duration = Duration::from_secs(120);
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
    users: Vec<(UserNr, Instant)>,
    stamp: u64,
    changed: Instant,
}

/// What nodes tell each other: `user` types in `room` for so long, or not any more.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Told {
    room: RoomNr,
    user: UserNr,
    /// Milliseconds; 0 when they stopped.
    for_ms: u64,
}

/// What a client does not know yet: everybody who types in a room now. The list replaces what was told before.
pub type TypingChanges = Vec<(RoomNr, Vec<UserNr>)>;

impl Typing {
    pub(super) fn new(stamps: Stamps) -> Self {
        Self { stamps, ..Self::default() }
    }

    /// Notes that `user` types for so long. `false` where nothing changed for others.
    fn set(&self, room: RoomNr, user: UserNr, lasts: Duration, now: Instant) -> bool {
        let mut state = self.lock();
        let State { stamp, rooms } = &mut *state;
        let ends = now + lasts.min(LONGEST);
        if lasts.is_zero() {
            let Some(entry) = rooms.get_mut(&room) else { return false };
            let before = entry.users.len();
            entry.users.retain(|(who, _)| *who != user);
            if entry.users.len() == before {
                return false;
            }
            *stamp = entry.touch(&self.stamps, now);
            return true;
        }
        let entry = rooms.entry(room).or_insert_with(|| Room { users: Vec::new(), stamp: 0, changed: now });
        if let Some(known) = entry.users.iter_mut().find(|(who, _)| *who == user) {
            known.1 = ends;
            return false;
        }
        if entry.users.len() >= TYPISTS {
            return false;
        }
        entry.users.push((user, ends));
        *stamp = entry.touch(&self.stamps, now);
        true
    }

    /// Lets those stop whose time is over. Returns their rooms, and whether anything is left to watch.
    fn expire(&self, now: Instant) -> (Vec<RoomNr>, bool) {
        let mut state = self.lock();
        let State { stamp, rooms } = &mut *state;
        let mut changed = Vec::new();
        rooms.retain(|nr, room| {
            let before = room.users.len();
            room.users.retain(|(_, ends)| *ends > now);
            if room.users.len() < before {
                *stamp = room.touch(&self.stamps, now);
                changed.push(*nr);
            }
            !room.users.is_empty() || now.saturating_duration_since(room.changed) < AFTERGLOW
        });
        (changed, !rooms.is_empty())
    }

    fn changes(&self, rooms: &[RoomNr], since: Option<u64>) -> TypingChanges {
        let state = self.lock();
        if state.rooms.is_empty() || since.is_some_and(|since| since >= state.stamp) {
            return Vec::new();
        }
        let changed = |nr: &RoomNr| {
            let room = state.rooms.get(nr).filter(|room| since.is_none_or(|since| room.stamp > since))?;
            Some((*nr, room.users.iter().map(|(user, _)| *user).collect()))
        };
        rooms.iter().filter_map(changed).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic between two steps leaves a stamp too many: harmless.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Room {
    /// Returns the new stamp.
    fn touch(&mut self, stamps: &Stamps, now: Instant) -> u64 {
        self.stamp = stamps.next();
        self.changed = now;
        self.stamp
    }
}

impl Presence {
    /// `user`, who is joined to `room`, types for so long (zero: not any more). Wakes the room's long-polls, here and on
    /// the other nodes.
    pub async fn set_typing(&self, room: RoomNr, user: UserNr, lasts: Duration) {
        let told = Told { room, user, for_ms: u64::try_from(lasts.min(LONGEST).as_millis()).unwrap_or(0) };
        self.take_in(&told);
        self.tell(Ring { typing: Some(told), ..self.ring() }).await;
    }

    /// Who types in `rooms`: all that this node knows, or what changed after its stamp `since`.
    pub fn typing(&self, rooms: &[RoomNr], since: Option<u64>) -> TypingChanges {
        self.0.typing.changes(rooms, since)
    }

    pub(super) fn take_in(&self, told: &Told) {
        if self.0.typing.set(told.room, told.user, Duration::from_millis(told.for_ms), Instant::now()) {
            self.0.log.wake(&[told.room], &[]);
        }
        self.0.typing.began.notify_one();
    }
}

/// Lets typing expire, until `shutdown`. Sleeps while nobody types.
pub(super) async fn expire(presence: Presence, shutdown: CancellationToken) {
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = presence.0.typing.began.notified() => {}
        }
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(Duration::from_millis(250)) => {}
            }
            let (rooms, more) = presence.0.typing.expire(Instant::now());
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

    #[test]
    fn a_sync_hears_what_changed_since_its_stamp_and_a_newcomer_everything() {
        let (typing, now) = (Typing::default(), Instant::now());
        assert!(typing.set(ROOM, Sym(1), SECOND, now));
        assert!(typing.set(ROOM, Sym(2), SECOND, now));
        assert!(!typing.set(ROOM, Sym(2), SECOND * 2, now));
        let both = vec![(ROOM, vec![Sym(1), Sym(2)])];
        assert_eq!(typing.changes(&[ROOM, RoomNr(2)], None), both);
        assert_eq!(typing.changes(&[ROOM], Some(1)), both);
        assert_eq!(typing.changes(&[ROOM], Some(2)), []);
        assert_eq!(typing.changes(&[RoomNr(2)], None), []);
    }

    #[test]
    fn typing_stops_by_word_or_by_time_and_the_empty_list_is_told() {
        let (typing, now) = (Typing::default(), Instant::now());
        typing.set(ROOM, Sym(1), SECOND, now);
        typing.set(ROOM, Sym(2), SECOND * 10, now);
        assert!(typing.set(ROOM, Sym(2), Duration::ZERO, now));
        assert!(!typing.set(ROOM, Sym(2), Duration::ZERO, now));
        assert_eq!(typing.expire(now + SECOND / 2), (vec![], true));
        assert_eq!(typing.expire(now + SECOND), (vec![ROOM], true));
        assert_eq!(typing.changes(&[ROOM], Some(3)), [(ROOM, vec![])]);
        assert_eq!(typing.expire(now + SECOND + AFTERGLOW), (vec![], false));
    }
}
