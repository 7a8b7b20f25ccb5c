//! When something last happened in each room, in memory: the order of room lists.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{
    log::{Apply, LogEvent, Slice},
    storage::{self, Interner, Pos, Result, RoomNr, Sym},
};

/// Rooms remembered; beyond, the memory begins anew.
const ROOMS: usize = 500_000;

/// What moves a room up in clients' lists.
const BUMPING: [&str; 9] = [
    "m.room.create",
    "m.room.message",
    "m.room.encrypted",
    "m.sticker",
    "m.call.invite",
    "m.poll.start",
    "org.matrix.msc3381.poll.start",
    "m.beacon_info",
    "org.matrix.msc3672.beacon_info",
];

/// The newest positions of rooms. Follows the log.
pub struct Recency {
    bumping: Vec<Sym>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    rooms: HashMap<RoomNr, Entry>,
    /// Counts the moments at which the memory lost something.
    losses: u64,
}

/// As far as it is known; what is known only rises.
#[derive(Default)]
struct Entry {
    last: Pos,
    bump: Pos,
    /// The database was asked for what came before.
    complete: bool,
}

/// A room's newest positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Stamps {
    /// The last event.
    pub last: Pos,
    /// The last event that people care for.
    pub bump: Pos,
}

impl Recency {
    /// A memory that knows nothing.
    ///
    /// # Errors
    /// The database's own: the numbers of event types are asked for.
    pub async fn new(interner: &Interner) -> Result<Self> {
        Ok(Self { bumping: interner.numbers(&BUMPING).await?, state: Mutex::default() })
    }

    /// The stamps of `rooms`; one query at most. Rooms without events are left out.
    ///
    /// # Errors
    /// The database's own.
    pub(super) async fn stamps(&self, pool: &sqlx::PgPool, rooms: &[RoomNr]) -> Result<HashMap<RoomNr, Stamps>> {
        let (mut found, missing, losses) = self.known(rooms);
        if !missing.is_empty() {
            let read = storage::sync::stamps(pool, &missing, &self.bumping).await?;
            let mut state = self.lock();
            let keep = state.losses == losses;
            for (room, last, bump) in read {
                // What was committed since it was read has come by the log.
                let known = state.rooms.get(&room);
                let last = last.max(known.map_or(Pos(0), |entry| entry.last));
                let bump = bump.max(known.map_or(Pos(0), |entry| entry.bump));
                if keep {
                    state.rooms.insert(room, Entry { last, bump, complete: true });
                }
                found.insert(room, Stamps { last, bump });
            }
        }
        Ok(found)
    }

    fn known(&self, rooms: &[RoomNr]) -> (HashMap<RoomNr, Stamps>, Vec<RoomNr>, u64) {
        let state = self.lock();
        let (mut found, mut missing) = (HashMap::with_capacity(rooms.len()), Vec::new());
        for room in rooms {
            match state.rooms.get(room).filter(|entry| entry.complete) {
                Some(entry) => drop(found.insert(*room, Stamps { last: entry.last, bump: entry.bump })),
                None => missing.push(*room),
            }
        }
        (found, missing, state.losses)
    }

    fn take_in(&self, state: &mut State, event: &LogEvent) {
        let entry = state.rooms.entry(event.room).or_default();
        entry.last = entry.last.max(event.pos);
        if self.bumping.contains(&event.kind) {
            entry.bump = entry.bump.max(event.pos);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic between two steps can only have left out part of a slice.
        self.state.lock().unwrap_or_else(|poisoned| {
            let mut state = PoisonError::into_inner(poisoned);
            state.lose_all();
            state
        })
    }
}

impl State {
    fn lose_all(&mut self) {
        self.losses += 1;
        self.rooms.clear();
    }
}

impl Apply for Recency {
    fn apply(&self, slice: &Slice, _own: bool) {
        let mut state = self.lock();
        match &slice.events {
            Some(events) => events.iter().for_each(|event| self.take_in(&mut state, event)),
            None => {
                state.losses += 1;
                for room in &slice.rooms {
                    state.rooms.remove(room);
                }
            }
        }
        if state.rooms.len() > ROOMS {
            state.lose_all();
        }
    }
}
