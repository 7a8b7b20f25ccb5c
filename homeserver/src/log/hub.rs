//! Who waits for what, and what was touched last: an idle long-poll costs a few pointers and no query.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use super::Slice;
use crate::storage::{Pos, RoomNr, UserNr};

/// What was touched after a position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changes {
    /// Nothing.
    None,
    /// These rooms, and the user (account data, to-device messages, memberships, device lists) or not.
    Some { rooms: Vec<RoomNr>, user: bool },
    /// The position is older than this node's memory: read the database.
    Unknown,
}

/// Beyond this many remembered positions the memory starts anew from the current position.
const REMEMBERED: usize = 1_000_000;

#[derive(Clone)]
pub(super) struct Hub(Arc<Mutex<State>>);

struct State {
    rooms: HashMap<RoomNr, Vec<Arc<Notify>>>,
    users: HashMap<UserNr, Vec<Arc<Notify>>>,
    watches: usize,
    room_pos: HashMap<RoomNr, Pos>,
    user_pos: HashMap<UserNr, Pos>,
    /// Before this position nothing is remembered.
    floor: Pos,
}

/// A registered long-poll; dropping it ends the registration.
pub struct Watch {
    hub: Hub,
    user: UserNr,
    rooms: Arc<[RoomNr]>,
    notify: Arc<Notify>,
}

impl Hub {
    pub(super) fn new(floor: Pos) -> Self {
        Self(Arc::new(Mutex::new(State {
            rooms: HashMap::new(),
            users: HashMap::new(),
            watches: 0,
            room_pos: HashMap::new(),
            user_pos: HashMap::new(),
            floor,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No panic can leave the maps half-changed in a way that matters: a lost wake-up is a late one.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn watch(&self, user: UserNr, rooms: &Arc<[RoomNr]>) -> Watch {
        let notify = Arc::new(Notify::new());
        let mut state = self.lock();
        state.watches += 1;
        state.users.entry(user).or_default().push(Arc::clone(&notify));
        for room in rooms.iter() {
            state.rooms.entry(*room).or_default().push(Arc::clone(&notify));
        }
        drop(state);
        Watch { hub: self.clone(), user, rooms: Arc::clone(rooms), notify }
    }

    pub(super) fn watches(&self) -> usize {
        self.lock().watches
    }

    pub(super) fn changes(&self, user: UserNr, rooms: &[RoomNr], since: Pos) -> Changes {
        let state = self.lock();
        if since < state.floor {
            return Changes::Unknown;
        }
        let after = |pos: Option<&Pos>| pos.is_some_and(|pos| *pos > since);
        let rooms: Vec<RoomNr> = rooms.iter().copied().filter(|room| after(state.room_pos.get(room))).collect();
        let user = after(state.user_pos.get(&user));
        if rooms.is_empty() && !user { Changes::None } else { Changes::Some { rooms, user } }
    }

    /// Remembers what `slice` touched. Waking is a step of its own: first the watermark rises.
    pub(super) fn remember(&self, slice: &Slice) {
        let mut state = self.lock();
        if state.room_pos.len() + state.user_pos.len() > REMEMBERED {
            state.room_pos.clear();
            state.user_pos.clear();
            state.floor = Pos(slice.first.0 - 1);
        }
        for room in &slice.rooms {
            state.room_pos.insert(*room, slice.last);
        }
        for user in &slice.users {
            state.user_pos.insert(*user, slice.last);
        }
    }

    /// Wakes all that watch one of `rooms`, each once. Returns how many.
    pub(super) fn wake_once(&self, rooms: &[RoomNr]) -> usize {
        let state = self.lock();
        let mut woken = HashSet::new();
        for notify in rooms.iter().filter_map(|room| state.rooms.get(room)).flatten() {
            if woken.insert(Arc::as_ptr(notify)) {
                notify.notify_one();
            }
        }
        woken.len()
    }

    pub(super) fn wake(&self, rooms: &[RoomNr], users: &[UserNr]) {
        let state = self.lock();
        for waiting in
            rooms.iter().filter_map(|r| state.rooms.get(r)).chain(users.iter().filter_map(|u| state.users.get(u)))
        {
            for notify in waiting {
                notify.notify_one();
            }
        }
    }
}

impl Watch {
    /// Returns when something was touched since the last call (or since the registration).
    pub async fn touched(&self) {
        self.notify.notified().await;
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut state = self.hub.lock();
        state.watches -= 1;
        let leave = |waiting: Option<&mut Vec<Arc<Notify>>>| {
            waiting.is_some_and(|w| {
                w.retain(|n| !Arc::ptr_eq(n, &self.notify));
                w.is_empty()
            })
        };
        if leave(state.users.get_mut(&self.user)) {
            state.users.remove(&self.user);
        }
        for room in self.rooms.iter() {
            if leave(state.rooms.get_mut(room)) {
                state.rooms.remove(room);
            }
        }
    }
}
