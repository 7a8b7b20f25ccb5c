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

pub(super) struct Followed<K, V> {
    cache: Cache<K, V>,
    loading: Mutex<HashMap<K, Arc<Load>>>,
}

#[derive(Default)]
struct Load {
    gate: tokio::sync::Mutex<()>,
    /// The log has touched the key since the load began.
    touched: AtomicBool,
}

/// Takes the entry out of `loading` when its last user is done, also when that user was cancelled.
struct Registration<'a, K: Copy + Eq + Hash, V> {
    followed: &'a Followed<K, V>,
    key: K,
    load: Arc<Load>,
}

impl<K, V> Followed<K, V>
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
        if let Some(value) = self.cache.get(&key) {
            return Ok(value);
        }
        // Boxed: what a query needs would take room in every waiting request.
        Box::pin(self.load(key, load)).await
    }

    async fn load<E, F>(&self, key: K, load: impl Fn() -> F) -> Result<V, E>
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
            registration.load.touched.store(false, Ordering::Release);
            let value = load().await?;
            let _loading = self.loading();
            if !registration.load.touched.load(Ordering::Acquire) {
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

    fn register(&self, key: K) -> Registration<'_, K, V> {
        let load = Arc::clone(self.loading().entry(key).or_default());
        Registration { followed: self, key, load }
    }
}

impl<K: Copy + Eq + Hash, V> Followed<K, V> {
    fn loading(&self) -> MutexGuard<'_, HashMap<K, Arc<Load>>> {
        // A panic between two steps leaves an entry that marks too much as touched: harmless.
        self.loading.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Copy + Eq + Hash, V> Drop for Registration<'_, K, V> {
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
}
