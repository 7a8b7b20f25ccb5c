//! Who asked to be erased when they left the server: whoever was not in the room when they wrote is shown an empty copy.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{Rooms, StoredEvent, render::Shown, visibility::Sight};
use crate::{
    log::{Apply, Notice, Slice},
    storage::{self, Membership, Result, Sym, UserNr},
};

/// The erased users, few as they are. Follows the log.
#[derive(Default)]
pub(super) struct Erased(Mutex<State>);

#[derive(Default)]
struct State {
    users: Arc<HashSet<UserNr>>,
    is_read: bool,
    /// Whose account changed since, each with the change's number.
    unsure: HashMap<UserNr, u64>,
    changes: u64,
    /// How many times there were too many.
    overflows: u64,
}

/// Of more changes all are read anew.
const MOST_UNSURE: usize = 1000;

impl Erased {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Apply for Erased {
    fn apply(&self, slice: &Slice, _own: bool) {
        for notice in &slice.notices {
            if let Notice::User(user) = notice {
                let mut state = self.state();
                state.changes += 1;
                let change = state.changes;
                state.unsure.insert(*user, change);
                if state.unsure.len() > MOST_UNSURE {
                    state.unsure.clear();
                    state.is_read = false;
                    state.overflows += 1;
                }
            }
        }
    }
}

impl Rooms {
    /// Who is erased. A small query where accounts changed since the last call, and none otherwise.
    pub(super) async fn erased(&self) -> Result<Arc<HashSet<UserNr>>> {
        let erased = &self.0.caches.erased;
        let (is_read, unsure, overflows) = {
            let state = erased.state();
            if state.is_read && state.unsure.is_empty() {
                return Ok(Arc::clone(&state.users));
            }
            (state.is_read, state.unsure.clone(), state.overflows)
        };
        let asked: Option<Vec<UserNr>> = is_read.then(|| unsure.keys().copied().collect());
        let found = storage::account::erased(&self.0.pool, asked.as_deref()).await?;
        let mut state = erased.state();
        let mut users = HashSet::clone(&state.users);
        users.extend(found);
        state.users = Arc::new(users);
        if state.overflows == overflows {
            state.is_read = true;
            state.unsure.retain(|user, change| unsure.get(user) != Some(change));
        }
        Ok(Arc::clone(&state.users))
    }
}

impl Sight {
    /// The event as the user may see it.
    pub fn shown(&self, event: Arc<StoredEvent>) -> Shown {
        let membership = self.membership_at(&event);
        let says_something = event.state_key.is_none() && event.kind != Sym::REDACTION;
        let event = match says_something && membership != Membership::Join && self.erased.contains(&event.sender) {
            true => event.emptied().map_or(event, Arc::new),
            false => event,
        };
        Shown { membership: Some(membership), event }
    }
}
