//! The newest events that notify anybody, in memory, by room.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
};

use crate::{
    log::{LogEvent, Slice},
    storage::{EventNr, Pos, RoomNr, UserNr, commit::Noted},
};

/// How many are kept in all, some 150 bytes each.
const CAPACITY: usize = 100_000;

/// Follows the log.
pub(super) struct Notes(Mutex<State>);

struct State {
    rooms: HashMap<RoomNr, Window>,
    /// What was taken in, oldest first: the order in which it is dropped.
    order: VecDeque<(RoomNr, Pos)>,
    /// Of a room without a window everything after this position is here: nothing.
    lost: Pos,
    capacity: usize,
}

/// The newest of one room, without gaps.
pub(super) struct Window {
    /// All notes with a position above this are here.
    pub floor: Pos,
    /// Oldest first.
    pub notes: VecDeque<Note>,
}

pub(super) struct Note {
    pub pos: Pos,
    nr: EventNr,
    pub sender: UserNr,
    pub noted: Noted,
    /// The redaction that took it away; a redaction's own position if the note is one.
    pub undone: Option<Pos>,
}

impl Note {
    /// Whether this is a redaction: counts made before it must be made anew.
    pub fn is_redaction(&self) -> bool {
        self.undone == Some(self.pos)
    }
}

impl Notes {
    pub fn new() -> Self {
        Self::with_capacity(CAPACITY)
    }

    fn with_capacity(capacity: usize) -> Self {
        Self(Mutex::new(State { rooms: HashMap::new(), order: VecDeque::new(), lost: Pos(0), capacity }))
    }

    pub fn begin_at(&self, pos: Pos) {
        let mut state = self.lock();
        state.rooms.clear();
        state.order.clear();
        state.lost = pos;
    }

    /// Looks at a room's window.
    pub fn look<T>(&self, room: RoomNr, look: impl FnOnce(&Window) -> T) -> T {
        let state = self.lock();
        match state.rooms.get(&room) {
            Some(window) => look(window),
            None => look(&Window { floor: state.lost, notes: VecDeque::new() }),
        }
    }

    pub fn apply(&self, slice: &Slice) {
        let mut state = self.lock();
        let Some(events) = &slice.events else {
            for room in &slice.rooms {
                state.rooms.remove(room);
                state.lost = slice.last;
            }
            return;
        };
        for event in events {
            if let Some(target) = event.redacts {
                if let Some(window) = state.rooms.get_mut(&event.room)
                    && let Some(note) = window.notes.iter_mut().find(|note| note.nr == target)
                {
                    note.undone = Some(event.pos);
                }
                state.push(event, Some(event.pos));
            } else if event.noted.notify || !event.noted.exceptions.is_empty() {
                state.push(event, None);
            }
        }
        state.trim();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(|poisoned| {
            let mut state = poisoned.into_inner();
            state.rooms.clear();
            state.order.clear();
            state.lost = Pos(i64::MAX);
            state
        })
    }
}

impl State {
    fn push(&mut self, event: &Arc<LogEvent>, undone: Option<Pos>) {
        let note = Note { pos: event.pos, nr: event.nr, sender: event.sender, noted: event.noted.clone(), undone };
        let lost = self.lost;
        let window = self.rooms.entry(event.room).or_insert_with(|| Window { floor: lost, notes: VecDeque::new() });
        window.notes.push_back(note);
        self.order.push_back((event.room, event.pos));
    }

    fn trim(&mut self) {
        while self.order.len() > self.capacity {
            let Some((room, pos)) = self.order.pop_front() else { return };
            let Some(window) = self.rooms.get_mut(&room) else { continue };
            // Otherwise it belonged to a window of the room that is gone.
            if window.notes.front().is_some_and(|note| note.pos == pos) {
                window.notes.pop_front();
                window.floor = pos;
            }
            if window.notes.is_empty() {
                self.rooms.remove(&room);
                self.lost = self.lost.max(pos);
            }
        }
    }
}
