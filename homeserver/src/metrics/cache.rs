//! How well a cache serves.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

use super::scalar::{head, line};

/// Hits, misses and entries of one cache.
#[derive(Debug)]
pub struct Cache {
    name: &'static str,
    hits: AtomicU64,
    misses: AtomicU64,
    entries: AtomicI64,
}

impl Cache {
    pub(super) const fn new(name: &'static str) -> Self {
        Self { name, hits: AtomicU64::new(0), misses: AtomicU64::new(0), entries: AtomicI64::new(0) }
    }

    /// Counts a look-up.
    pub fn looked_up(&self, hit: bool) {
        if hit { &self.hits } else { &self.misses }.fetch_add(1, Relaxed);
    }

    /// Notes how many entries there are.
    pub fn set_entries(&self, entries: usize) {
        self.entries.store(i64::try_from(entries).unwrap_or(i64::MAX), Relaxed);
    }

    pub(super) fn render_all(caches: &[&Self], out: &mut String) {
        head(out, "roost_cache_lookups_total", "Look-ups in a cache, by outcome.", "counter");
        for cache in caches {
            for (outcome, count) in [("hit", &cache.hits), ("miss", &cache.misses)] {
                let (name, count) = (cache.name, count.load(Relaxed));
                line(out, format_args!("roost_cache_lookups_total{{cache=\"{name}\",outcome=\"{outcome}\"}} {count}"));
            }
        }
        head(out, "roost_cache_entries", "Entries of a cache.", "gauge");
        for cache in caches {
            line(out, format_args!("roost_cache_entries{{cache=\"{}\"}} {}", cache.name, cache.entries.load(Relaxed)));
        }
    }
}
