//! Where each room's newest events stand, in memory: an incremental sync finds its timelines without a query.

use std::sync::{Mutex, MutexGuard};

use super::windows::{Placed, Windows};
use crate::{
    log::Slice,
    storage::{Pos, RoomNr, event::Place},
};

/// How many places are kept in all, 40 bytes and a little each.
const CAPACITY: usize = 400_000;

/// The newest places of each room, without gaps. The bodies lie in the event cache.
pub(super) struct Recent(Mutex<Windows<Place>>);

impl Placed for Place {
    fn pos(&self) -> Pos {
        self.pos
    }
}

/// A part of a room's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// Newest first.
    pub places: Vec<Place>,
}

impl Recent {
    pub fn new() -> Self {
        Self::with_capacity(CAPACITY)
    }

    fn with_capacity(capacity: usize) -> Self {
        Self(Mutex::new(Windows::new(capacity)))
    }

    /// The newest `limit` events of `room` with `since < pos <= until`, or all there are; `None` where memory does not say.
    pub fn newest(&self, room: RoomNr, since: Pos, until: Pos, limit: usize) -> Option<Found> {
        let state = self.lock();
        let window = state.get(room)?;
        let newest_first = window.items.iter().rev().skip_while(|p| p.pos > until);
        let places: Vec<Place> = newest_first.take_while(|p| p.pos > since).take(limit).copied().collect();
        (places.len() == limit || window.floor <= since).then_some(Found { places })
    }

    /// The last event of `room` up to `pos`, if it is here.
    pub fn last_before(&self, room: RoomNr, pos: Pos) -> Option<Place> {
        self.lock().get(room)?.items.iter().rev().find(|p| p.pos <= pos).copied()
    }

    /// Takes in what the database said about a room without a window: its newest events up to `until`, newest first, all
    /// there are above `floor`.
    pub fn seed(&self, room: RoomNr, newest_first: &[Place], floor: Pos, until: Pos) {
        let mut state = self.lock();
        // Had anything of the room come after `until`, it would have a window, or have lost it after `until`.
        if newest_first.is_empty() || state.get(room).is_some() || state.lost > until {
            return;
        }
        for place in newest_first.iter().rev() {
            state.push(room, floor, *place);
        }
        state.trim();
    }

    pub fn apply(&self, slice: &Slice) {
        let mut state = self.lock();
        let Some(events) = &slice.events else {
            for room in &slice.rooms {
                state.remove(*room);
            }
            state.lost = slice.last;
            return;
        };
        for event in events {
            let place = Place { room: event.room, nr: event.nr, pos: event.pos, ord: event.ord, frame: event.frame };
            state.push(event.room, Pos(slice.first.0 - 1), place);
        }
        state.trim();
    }

    fn lock(&self) -> MutexGuard<'_, Windows<Place>> {
        Windows::lock(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{EventNr, FrameNr};

    const ROOM: RoomNr = RoomNr(1);

    fn place(pos: i64) -> Place {
        Place { room: ROOM, nr: EventNr(pos), pos: Pos(pos), ord: pos, frame: FrameNr(pos) }
    }

    fn recent(capacity: usize, floor: i64, positions: &[i64]) -> Recent {
        let recent = Recent::with_capacity(capacity);
        let newest_first: Vec<Place> = positions.iter().rev().map(|p| place(*p)).collect();
        recent.seed(ROOM, &newest_first, Pos(floor), Pos(100));
        recent
    }

    fn positions(found: Option<Found>) -> Option<Vec<i64>> {
        found.map(|f| f.places.iter().map(|p| p.pos.0).collect())
    }

    #[test]
    fn what_lies_inside_the_window_is_known_and_what_reaches_below_is_not() {
        let recent = recent(100, 10, &[12, 15, 20]);
        assert_eq!(positions(recent.newest(ROOM, Pos(10), Pos(20), 5)), Some(vec![20, 15, 12]));
        assert_eq!(positions(recent.newest(ROOM, Pos(9), Pos(20), 5)), None);
        assert_eq!(positions(recent.newest(ROOM, Pos(0), Pos(20), 2)), Some(vec![20, 15]));
        assert_eq!(positions(recent.newest(ROOM, Pos(12), Pos(19), 5)), Some(vec![15]));
        assert_eq!(positions(recent.newest(ROOM, Pos(20), Pos(20), 5)), Some(vec![]));
        assert_eq!(positions(recent.newest(RoomNr(2), Pos(20), Pos(20), 5)), None);
        assert_eq!(recent.last_before(ROOM, Pos(19)).map(|p| p.pos), Some(Pos(15)));
        assert_eq!(recent.last_before(ROOM, Pos(11)), None);
    }

    #[test]
    fn the_oldest_is_dropped_first() {
        let recent = recent(2, 0, &[12, 15, 20]);
        assert_eq!(positions(recent.newest(ROOM, Pos(0), Pos(20), 3)), None);
        assert_eq!(positions(recent.newest(ROOM, Pos(12), Pos(20), 3)), Some(vec![20, 15]));
    }

    #[test]
    fn nothing_is_taken_from_the_database_that_a_later_event_may_have_overtaken() {
        let recent = Recent::with_capacity(10);
        recent.apply(&Slice::of_test(30, 30, vec![ROOM], None));
        recent.seed(ROOM, &[place(20)], Pos(0), Pos(29));
        assert_eq!(positions(recent.newest(ROOM, Pos(0), Pos(30), 3)), None);
        recent.seed(ROOM, &[place(20)], Pos(0), Pos(30));
        assert_eq!(positions(recent.newest(ROOM, Pos(0), Pos(30), 3)), Some(vec![20]));
    }
}
