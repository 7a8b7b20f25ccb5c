//! The newest of something, by room, without gaps and within bounds; what is oldest is dropped first, whatever room it is of.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard},
};

use crate::storage::{Pos, RoomNr};

/// What has a place in the log.
pub(super) trait Placed {
    fn pos(&self) -> Pos;
}

/// Windows of all rooms.
pub(super) struct Windows<T> {
    rooms: HashMap<RoomNr, Window<T>>,
    /// What was taken in, oldest first: the order in which it is dropped.
    order: VecDeque<(RoomNr, Pos)>,
    /// The greatest position at which something was dropped that a room without a window may have.
    pub lost: Pos,
    capacity: usize,
}

/// The newest of one room.
pub(super) struct Window<T> {
    /// All that the room has with a position above this is here.
    pub floor: Pos,
    /// Oldest first.
    pub items: VecDeque<T>,
}

impl<T> Window<T> {
    pub fn new(floor: Pos) -> Self {
        Self { floor, items: VecDeque::new() }
    }
}

impl<T: Placed> Windows<T> {
    pub fn new(capacity: usize) -> Self {
        Self { rooms: HashMap::new(), order: VecDeque::new(), lost: Pos(0), capacity }
    }

    /// Forgets everything up to `pos`.
    pub fn begin_at(&mut self, pos: Pos) {
        self.rooms.clear();
        self.order.clear();
        self.lost = pos;
    }

    pub fn get(&self, room: RoomNr) -> Option<&Window<T>> {
        self.rooms.get(&room)
    }

    pub fn get_mut(&mut self, room: RoomNr) -> Option<&mut Window<T>> {
        self.rooms.get_mut(&room)
    }

    /// Takes in the newest of a room. `floor` is that of its window, if it has none yet.
    pub fn push(&mut self, room: RoomNr, floor: Pos, item: T) {
        self.order.push_back((room, item.pos()));
        self.rooms.entry(room).or_insert_with(|| Window::new(floor)).items.push_back(item);
    }

    /// Drops a room's window; the caller says what was lost.
    pub fn remove(&mut self, room: RoomNr) {
        self.rooms.remove(&room);
    }

    /// Keeps within the bounds.
    pub fn trim(&mut self) {
        while self.order.len() > self.capacity {
            let Some((room, pos)) = self.order.pop_front() else { return };
            let Some(window) = self.rooms.get_mut(&room) else { continue };
            // Otherwise it belonged to a window of the room that is gone.
            if window.items.front().is_some_and(|item| item.pos() == pos) {
                window.items.pop_front();
                window.floor = pos;
            }
            if window.items.is_empty() {
                self.rooms.remove(&room);
                self.lost = self.lost.max(pos);
            }
        }
    }

    /// A panic may have left something half-way in: begins anew.
    pub fn lock(windows: &Mutex<Self>) -> MutexGuard<'_, Self> {
        windows.lock().unwrap_or_else(|poisoned| {
            let mut windows = poisoned.into_inner();
            windows.begin_at(Pos(i64::MAX));
            windows
        })
    }
}
