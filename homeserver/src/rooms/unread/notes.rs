//! The newest events that notify anybody or show that somebody has read, in memory, by room.

use std::sync::{Arc, Mutex, MutexGuard};

use crate::{
    log::{LogEvent, Slice},
    rooms::windows::{self, Placed, Windows},
    storage::{EventNr, Pos, RoomNr, Sym, UserNr, commit::Noted},
};

/// How many are kept in all, some 150 bytes each.
const CAPACITY: usize = 100_000;

/// Follows the log. Of a room without a window everything after what was lost is here: nothing.
pub(super) struct Notes(Mutex<Windows<Note>>);

/// The newest of one room, without gaps.
pub(super) type Window = windows::Window<Note>;

pub(super) struct Note {
    pub pos: Pos,
    nr: EventNr,
    pub sender: UserNr,
    /// Who sent it has read what stands before it: anything but a membership, which also tells of a new name or picture.
    pub reads: bool,
    pub noted: Noted,
    /// The redaction that took it away; a redaction's own position if the note is one.
    pub undone: Option<Pos>,
}

impl Placed for Note {
    fn pos(&self) -> Pos {
        self.pos
    }
}

impl Note {
    /// Whether this is a redaction: counts made before it must be made anew.
    pub fn is_redaction(&self) -> bool {
        self.undone == Some(self.pos)
    }
}

impl Notes {
    pub fn new() -> Self {
        Self(Mutex::new(Windows::new(CAPACITY)))
    }

    pub fn begin_at(&self, pos: Pos) {
        self.lock().begin_at(pos);
    }

    /// Looks at a room's window.
    pub fn look<T>(&self, room: RoomNr, look: impl FnOnce(&Window) -> T) -> T {
        let state = self.lock();
        match state.get(room) {
            Some(window) => look(window),
            None => look(&Window::new(state.lost)),
        }
    }

    pub fn apply(&self, slice: &Slice) {
        let mut state = self.lock();
        let Some(events) = &slice.events else {
            for room in &slice.rooms {
                state.remove(*room);
                state.lost = slice.last;
            }
            return;
        };
        for event in events {
            if let Some(target) = event.redacts {
                if let Some(window) = state.get_mut(event.room)
                    && let Some(note) = window.items.iter_mut().find(|note| note.nr == target)
                {
                    note.undone = Some(event.pos);
                }
                push(&mut state, event, Some(event.pos));
            } else if reads(event) || event.noted.notify || !event.noted.exceptions.is_empty() {
                push(&mut state, event, None);
            }
        }
        state.trim();
    }

    fn lock(&self) -> MutexGuard<'_, Windows<Note>> {
        Windows::lock(&self.0)
    }
}

fn reads(event: &LogEvent) -> bool {
    event.kind != Sym::MEMBER
}

fn push(windows: &mut Windows<Note>, event: &Arc<LogEvent>, undone: Option<Pos>) {
    let (pos, nr, sender, reads) = (event.pos, event.nr, event.sender, reads(event));
    let note = Note { pos, nr, sender, reads, noted: event.noted.clone(), undone };
    windows.push(event.room, windows.lost, note);
}
