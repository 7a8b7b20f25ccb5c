//! Requests that wait, and must end when their user may not wait any more.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

use crate::storage::UserNr;

/// Who waits.
#[derive(Debug, Clone, Default)]
pub(super) struct Watchers(Arc<Mutex<HashMap<UserNr, Vec<Arc<Notify>>>>>);

/// A request that waits; dropping it ends that.
#[derive(Debug)]
pub struct Watcher {
    watchers: Watchers,
    user: UserNr,
    notify: Arc<Notify>,
}

impl Watchers {
    fn lock(&self) -> MutexGuard<'_, HashMap<UserNr, Vec<Arc<Notify>>>> {
        // A panic between two steps leaves somebody registered who is gone.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn watch(&self, user: UserNr) -> Watcher {
        let notify = Arc::new(Notify::new());
        self.lock().entry(user).or_default().push(Arc::clone(&notify));
        Watcher { watchers: self.clone(), user, notify }
    }

    pub fn wake(&self, user: UserNr) {
        self.lock().get(&user).into_iter().flatten().for_each(|notify| notify.notify_one());
    }
}

impl Watcher {
    /// Returns when something about the account has changed since the last call, or since this began. Ready at once where it
    /// has.
    pub async fn changed(&self) {
        self.notify.notified().await;
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let mut watchers = self.watchers.lock();
        if let Some(waiting) = watchers.get_mut(&self.user) {
            waiting.retain(|notify| !Arc::ptr_eq(notify, &self.notify));
            if waiting.is_empty() {
                watchers.remove(&self.user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;
    use crate::storage::Sym;

    #[test]
    fn a_change_is_told_once_to_each_who_waits() {
        let watchers = Watchers::default();
        let (one, two, other) = (watchers.watch(Sym(1)), watchers.watch(Sym(1)), watchers.watch(Sym(2)));
        watchers.wake(Sym(1));
        for (watcher, told) in [(&one, true), (&one, false), (&two, true), (&other, false)] {
            assert_eq!(watcher.changed().now_or_never().is_some(), told);
        }
        drop((one, two, other));
        assert!(watchers.lock().is_empty());
    }
}
