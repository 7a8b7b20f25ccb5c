//! A cache of what the log changes: loads what is missing once, and never keeps what changed while it was loaded.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::cache::Cache;

/// How often a value is loaded anew because it changed meanwhile; then it is used, but not kept.
const ATTEMPTS: usize = 4;

/// Changes that a value can take in while it is loaded; beyond, it is loaded anew.
const MISSED: usize = 10_000;

/// Values by key. A `C` is a change that a value can take in, where there are such.
pub(super) struct Followed<K, V, C = ()> {
    cache: Cache<K, V>,
    loading: Mutex<HashMap<K, Arc<Load<C>>>>,
}

struct Load<C> {
    gate: tokio::sync::Mutex<()>,
    /// The log has touched the key since the load began.
    touched: AtomicBool,
    /// What the log brought since the load began, in its order.
    missed: Mutex<Vec<C>>,
}

impl<C> Default for Load<C> {
    fn default() -> Self {
        Self { gate: tokio::sync::Mutex::default(), touched: AtomicBool::default(), missed: Mutex::default() }
    }
}

impl<C> Load<C> {
    fn missed(&self) -> MutexGuard<'_, Vec<C>> {
        self.missed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self) {
        self.missed().clear();
        self.touched.store(false, Ordering::Release);
    }
}

/// Takes the entry out of `loading` when its last user is done, also when that user was cancelled.
struct Registration<'a, K: Copy + Eq + Hash, V, C> {
    followed: &'a Followed<K, V, C>,
    key: K,
    load: Arc<Load<C>>,
}

impl<K, V, C> Followed<K, V, C>
where
    K: Copy + Eq + Hash + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    pub fn new(cache: Cache<K, V>) -> Self {
        Self { cache, loading: Mutex::new(HashMap::new()) }
    }

    /// The value, if it is there.
    pub fn get(&self, key: K) -> Option<V> {
        self.cache.get(&key)
    }

    /// The value, loaded where it is missing: one load at a time for each key.
    pub async fn get_or_load<E, F>(&self, key: K, load: impl Fn() -> F) -> Result<V, E>
    where
        F: Future<Output = Result<V, E>>,
    {
        self.get_or_load_following(key, load, |_, _| ()).await
    }

    /// The same; `take_in` adds to a loaded value what came by [`Self::change`] meanwhile.
    pub async fn get_or_load_following<E, F>(
        &self,
        key: K,
        load: impl Fn() -> F,
        take_in: impl Fn(&V, C),
    ) -> Result<V, E>
    where
        F: Future<Output = Result<V, E>>,
    {
        if let Some(value) = self.cache.get(&key) {
            return Ok(value);
        }
        // Boxed: what a query needs would take room in every waiting request.
        Box::pin(self.load(key, load, take_in)).await
    }

    async fn load<E, F>(&self, key: K, load: impl Fn() -> F, take_in: impl Fn(&V, C)) -> Result<V, E>
    where
        F: Future<Output = Result<V, E>>,
    {
        let registration = self.register(key);
        let _turn = registration.load.gate.lock().await;
        if let Some(value) = self.cache.get(&key) {
            return Ok(value);
        }
        let mut attempt = 1;
        loop {
            registration.load.begin();
            let value = load().await?;
            let _loading = self.loading();
            if !registration.load.touched.load(Ordering::Acquire) {
                registration.load.missed().drain(..).for_each(|change| take_in(&value, change));
                self.cache.insert(key, value.clone());
                return Ok(value);
            }
            if attempt == ATTEMPTS {
                return Ok(value);
            }
            attempt += 1;
        }
    }

    /// Puts in a value that nobody can be loading.
    pub fn insert(&self, key: K, value: V) {
        self.cache.insert(key, value);
    }

    /// Drops the value, and what is being loaded at this moment.
    pub fn touch(&self, key: K) {
        let loading = self.loading();
        if let Some(load) = loading.get(&key) {
            load.touched.store(true, Ordering::Release);
        }
        self.cache.invalidate(&key);
    }

    /// The value that a change of the log belongs into, if it is here; if it is being loaded, it gets the change then.
    pub fn change(&self, key: K, change: impl FnOnce() -> C) -> Option<V> {
        let loading = self.loading();
        let value = self.cache.get(&key);
        if value.is_none()
            && let Some(load) = loading.get(&key)
        {
            let mut missed = load.missed();
            if missed.len() < MISSED {
                missed.push(change());
            } else {
                load.touched.store(true, Ordering::Release);
            }
        }
        value
    }

    fn register(&self, key: K) -> Registration<'_, K, V, C> {
        let load = Arc::clone(self.loading().entry(key).or_default());
        Registration { followed: self, key, load }
    }
}

impl<K: Copy + Eq + Hash, V, C> Followed<K, V, C> {
    fn loading(&self) -> MutexGuard<'_, HashMap<K, Arc<Load<C>>>> {
        // A panic between two steps leaves an entry that marks too much as touched: harmless.
        self.loading.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Copy + Eq + Hash, V, C> Drop for Registration<'_, K, V, C> {
    fn drop(&mut self) {
        let mut loading = self.followed.loading();
        // The map's and ours.
        if Arc::strong_count(&self.load) == 2 {
            loading.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, convert::Infallible};

    use super::*;

    #[tokio::test]
    async fn what_changes_while_it_is_loaded_is_loaded_again() {
        let followed: Followed<i32, i32> = Followed::new(Cache::new(10));
        let loads = Cell::new(0);
        let load = || async {
            loads.set(loads.get() + 1);
            if loads.get() == 1 {
                followed.touch(1);
            }
            Ok::<_, Infallible>(loads.get())
        };
        let value = followed.get_or_load(1, load).await;
        assert_eq!((value, followed.get(1), followed.loading().len()), (Ok(2), Some(2), 0));
        followed.touch(1);
        assert_eq!(followed.get(1), None);
    }
    #[tokio::test]
    async fn what_a_value_can_take_in_is_no_reason_to_load_it_again() {
        let followed: Followed<i32, Arc<Mutex<Vec<i32>>>, i32> = Followed::new(Cache::new(10));
        let load = || async {
            assert!(followed.change(1, || 7).is_none());
            Ok::<_, Infallible>(Arc::default())
        };
        let take_in = |value: &Arc<Mutex<Vec<i32>>>, change| value.lock().unwrap().push(change);
        let value = followed.get_or_load_following(1, load, take_in).await.unwrap();
        assert_eq!(*value.lock().unwrap(), [7]);
        assert!(followed.change(1, || unreachable!()).is_some_and(|there| Arc::ptr_eq(&there, &value)));
    }
}
