//! A cache whose entries are dropped as the log changes what they were made of. What was read before such a moment is never
//! kept after it.

use std::{
    hash::Hash,
    sync::atomic::{AtomicU64, Ordering},
};

use crate::cache::Cache;

/// Values by key. Whoever reads for it takes a ticket first.
pub struct Doubted<K, V> {
    cache: Cache<K, V>,
    /// Counts the moments at which something may have become stale.
    doubts: AtomicU64,
}

/// The moment at which somebody began to read.
#[derive(Debug, Clone, Copy)]
pub struct Ticket(u64);

impl<K, V> Doubted<K, V>
where
    K: Copy + Eq + Hash + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Over an empty cache.
    pub fn new(cache: Cache<K, V>) -> Self {
        Self { cache, doubts: AtomicU64::new(0) }
    }

    /// The value, if it is there.
    pub fn get(&self, key: K) -> Option<V> {
        self.cache.get(&key)
    }

    /// Taken before what makes a value is read.
    pub fn ticket(&self) -> Ticket {
        Ticket(self.doubts.load(Ordering::Acquire))
    }

    /// Keeps a value that was made since the ticket, unless something became doubtful meanwhile.
    pub fn keep(&self, ticket: Ticket, key: K, value: V) {
        self.cache.insert(key, value);
        // After it was put in: a doubt that comes now takes it out itself.
        if self.doubts.load(Ordering::Acquire) != ticket.0 {
            self.cache.invalidate(&key);
        }
    }

    /// Keeps a value that nobody else can know yet.
    pub fn insert(&self, key: K, value: V) {
        self.cache.insert(key, value);
    }

    /// Drops the value under `key`, and whatever is being read at this moment.
    pub fn doubt(&self, key: K) {
        self.doubts.fetch_add(1, Ordering::AcqRel);
        self.cache.invalidate(&key);
    }

    /// Drops everything.
    pub fn doubt_all(&self) {
        self.doubts.fetch_add(1, Ordering::AcqRel);
        self.cache.invalidate_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_read_before_a_doubt_is_not_kept_after_it() {
        let cache = Doubted::new(Cache::new(10));
        let ticket = cache.ticket();
        cache.keep(ticket, 1, "one");
        assert_eq!(cache.get(1), Some("one"));
        cache.doubt(1);
        assert_eq!(cache.get(1), None);
        cache.keep(ticket, 1, "one");
        cache.keep(ticket, 2, "two");
        assert_eq!((cache.get(1), cache.get(2)), (None, None), "whatever was read by then is doubtful");
        cache.keep(cache.ticket(), 1, "new");
        cache.doubt_all();
        assert_eq!(cache.get(1), None);
    }
}
