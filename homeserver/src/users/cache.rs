//! The access tokens in use, so that a request costs no query. A session is believed for minutes, however it is lost sight of.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
    time::Duration,
};

use tokio::sync::Notify;

use super::{
    Session,
    watch::{Watcher, Watchers},
};
use crate::{
    log::{Apply, Notice, Slice},
    metrics,
    storage::{UserNr, token::Hash},
};

/// Up to so many tokens are kept.
const CAPACITY: usize = 200_000;
/// How long one is believed: then the database is asked again.
const BELIEVED: Duration = Duration::from_secs(300);

/// Known tokens by their hashes. A user's are dropped when anything about the account changes, on any node.
///
/// No general-purpose cache serves here: what was read before a revoke must never come in after it.
#[derive(Default)]
pub struct TokenCache {
    state: RwLock<State>,
    noticed: Notify,
    watchers: Watchers,
}

#[derive(Default)]
struct State {
    sessions: HashMap<Hash, Arc<Session>>,
    users: HashMap<UserNr, Vec<Hash>>,
    /// How many times something was dropped.
    drops: u64,
}

/// Taken before the database is read; what was read counts only while nothing was dropped since.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ticket(u64);

impl TokenCache {
    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The session of a known token; otherwise the ticket with which [`Self::insert`] takes in what the database says.
    pub(super) fn get(&self, hash: &Hash) -> Result<Arc<Session>, Ticket> {
        let state = self.read();
        let found = state.sessions.get(hash).filter(|session| session.read_at.elapsed() < BELIEVED);
        let found = found.map(Arc::clone).ok_or(Ticket(state.drops));
        metrics::CACHE_TOKENS.looked_up(found.is_ok());
        found
    }

    pub(super) fn insert(&self, ticket: Ticket, hash: Hash, session: &Arc<Session>) {
        let mut state = self.write();
        if state.drops != ticket.0 {
            return;
        }
        // Whichever users the map names first: its order is random enough.
        while state.sessions.len() >= CAPACITY {
            let Some(user) = state.users.keys().next().copied() else { break };
            state.forget(user);
        }
        if state.sessions.insert(hash, Arc::clone(session)).is_none() {
            state.users.entry(session.requester.user).or_default().push(hash);
        }
        metrics::CACHE_TOKENS.set_entries(state.sessions.len());
    }

    /// Returns when something about an account has changed on any node since the last call.
    pub async fn noticed(&self) {
        self.noticed.notified().await;
    }

    /// Tells from now on when something about the account changes, on any node.
    pub(super) fn watch(&self, user: UserNr) -> Watcher {
        self.watchers.watch(user)
    }

    /// Drops a user's tokens.
    pub(super) fn drop_user(&self, user: UserNr) {
        let mut state = self.write();
        state.drops += 1;
        state.forget(user);
        drop(state);
        self.watchers.wake(user);
    }
}

impl State {
    fn forget(&mut self, user: UserNr) {
        for hash in self.users.remove(&user).unwrap_or_default() {
            self.sessions.remove(&hash);
        }
    }
}

impl Apply for TokenCache {
    fn apply(&self, slice: &Slice, _own: bool) {
        for notice in &slice.notices {
            if let Notice::User(user) = notice {
                self.drop_user(*user);
                self.noticed.notify_one();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::{
        storage::{DeviceNr, Sym},
        users::Requester,
    };

    fn session(user: i32) -> Arc<Session> {
        let requester = Requester {
            user: Sym(user),
            user_id: ruma::user_id!("@a:b").to_owned(),
            device: DeviceNr(1),
            device_id: "D".into(),
            admin: false,
            suspended: false,
        };
        Arc::new(Session::new(requester, false, None))
    }

    #[test]
    fn a_session_is_believed_for_minutes() {
        let cache = TokenCache::default();
        let ticket = cache.get(&[1; 32]).unwrap_err();
        let mut old = Arc::into_inner(session(1)).unwrap();
        old.read_at = Instant::now().checked_sub(BELIEVED).unwrap();
        cache.insert(ticket, [1; 32], &Arc::new(old));
        let ticket = cache.get(&[1; 32]).unwrap_err();
        cache.insert(ticket, [1; 32], &session(1));
        assert!(cache.get(&[1; 32]).is_ok());
        assert_eq!(cache.read().users[&Sym(1)].len(), 1);
    }

    #[test]
    fn a_dropped_user_is_unknown_and_others_are_not() {
        let cache = TokenCache::default();
        let ticket = cache.get(&[1; 32]).unwrap_err();
        cache.insert(ticket, [1; 32], &session(1));
        cache.insert(ticket, [2; 32], &session(2));
        cache.drop_user(Sym(1));
        assert!(cache.get(&[1; 32]).is_err());
        assert!(cache.get(&[2; 32]).is_ok());
    }

    #[test]
    fn what_was_read_before_a_revoke_never_comes_in_after_it() {
        let cache = TokenCache::default();
        let ticket = cache.get(&[1; 32]).unwrap_err();
        cache.drop_user(Sym(1));
        cache.insert(ticket, [1; 32], &session(1));
        assert!(cache.get(&[1; 32]).is_err());
    }
}
