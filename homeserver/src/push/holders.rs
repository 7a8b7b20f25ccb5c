//! Who has pushers: in memory on every node, so that all others cost nothing.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use moka::sync::Cache;

use crate::storage::{self, UserNr, pusher::Pusher};

/// Users whose pushers are kept in memory; those of others are read when they are needed.
const CAPACITY: u64 = 20_000;

/// Everybody with a pusher, a number each.
pub(super) struct Holders {
    state: Mutex<State>,
    pushers: Cache<UserNr, Arc<[Pusher]>>,
}

#[derive(Default)]
struct State {
    users: HashSet<UserNr>,
    /// Counts changes, so that what was read before one is not kept after it.
    changes: u64,
}

impl Holders {
    pub fn new() -> Self {
        Self { state: Mutex::default(), pushers: Cache::new(CAPACITY) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // At worst somebody is asked for in vain.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn fill(&self, users: Vec<UserNr>) {
        self.lock().users.extend(users);
    }

    pub fn is_empty(&self) -> bool {
        self.lock().users.is_empty()
    }

    /// Something changed about an account: its pushers too, perhaps.
    pub fn touch(&self, user: UserNr) {
        let mut state = self.lock();
        state.changes += 1;
        state.users.insert(user);
        self.pushers.invalidate(&user);
    }

    /// Those of `users` (in ascending order) who may have a pusher.
    pub fn among(&self, users: &[UserNr]) -> Vec<UserNr> {
        let state = self.lock();
        if state.users.len() < users.len() {
            state.users.iter().copied().filter(|user| users.binary_search(user).is_ok()).collect()
        } else {
            users.iter().copied().filter(|user| state.users.contains(user)).collect()
        }
    }

    /// The pushers of `users` that are on; one query at most.
    ///
    /// # Errors
    /// The database's own.
    pub async fn pushers(
        &self,
        pool: &sqlx::PgPool,
        users: &[UserNr],
    ) -> storage::Result<HashMap<UserNr, Arc<[Pusher]>>> {
        let mut found: HashMap<UserNr, Arc<[Pusher]>> =
            users.iter().filter_map(|user| Some((*user, self.pushers.get(user)?))).collect();
        let missing: Vec<UserNr> = users.iter().copied().filter(|user| !found.contains_key(user)).collect();
        if missing.is_empty() {
            return Ok(found);
        }
        let before = self.lock().changes;
        let mut read: HashMap<UserNr, Vec<Pusher>> = missing.iter().map(|user| (*user, Vec::new())).collect();
        for pusher in storage::pusher::of_users(pool, &missing).await? {
            read.entry(pusher.user).or_default().push(pusher);
        }
        let mut state = self.lock();
        let current = state.changes == before;
        for (user, pushers) in read {
            if current && pushers.is_empty() {
                state.users.remove(&user);
            }
            let enabled: Arc<[Pusher]> = pushers.into_iter().filter(|pusher| pusher.enabled).collect();
            if current {
                self.pushers.insert(user, Arc::clone(&enabled));
            }
            found.insert(user, enabled);
        }
        Ok(found)
    }
}
