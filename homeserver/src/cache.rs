//! Bounded memory of what can be read again.
//!
//! A look takes the lock of one shard for a moment and leaves a mark. When room is needed a hand goes round: what bears marks
//! loses one, what bears none goes. There is nothing to keep up behind it: moka, which logs each look for a policy that
//! reads the log later, took a quarter of the program's time for a message.
//!
//! **Invariant:** nothing here gets old. What is only true for a while is kept in a moka cache.

use std::{
    borrow::Borrow,
    collections::HashMap,
    fmt,
    hash::{BuildHasher, Hash, Hasher, RandomState},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Shards, each with its part of the capacity: few, so that one part holds the largest things too.
const SHARDS: usize = 8;
/// More marks than these are not counted.
const MARKS: u8 = 3;

/// Values by key, up to a number or a weight. Cheap to clone.
pub struct Cache<K, V> {
    shards: Arc<[Mutex<Shard<K, V>>; SHARDS]>,
    seeds: Seeds,
    weigh: fn(&K, &V) -> u32,
}

struct Shard<K, V> {
    places: HashMap<K, usize, Seeds>,
    kept: Vec<Option<Kept<K, V>>>,
    free: Vec<usize>,
    hand: usize,
    weight: u64,
    capacity: u64,
}

struct Kept<K, V> {
    key: K,
    value: V,
    /// What it weighed when it was put in: values behind a lock change.
    weight: u32,
    marks: u8,
}

impl<K: Clone + Eq + Hash, V: Clone> Cache<K, V> {
    /// Holds up to `count` values.
    pub fn new(count: u64) -> Self {
        Self::weighed(count, |_, _| 1)
    }

    /// Holds values up to a sum of weights. One that weighs more than an eighth of it is not kept.
    pub fn weighed(capacity: u64, weigh: fn(&K, &V) -> u32) -> Self {
        let seeds = Seeds::new();
        let capacity = capacity.div_ceil(SHARDS as u64);
        Self { shards: Arc::new(std::array::from_fn(|_| Mutex::new(Shard::new(capacity, seeds)))), seeds, weigh }
    }

    /// The value, if it is here.
    pub fn get<Q: ?Sized + Hash + Eq>(&self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.shard(key).get(key)
    }

    /// Whether there is a value.
    pub fn contains_key<Q: ?Sized + Hash + Eq>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.shard(key).places.contains_key(key)
    }

    /// The value; where it is missing it is made, once however many ask. Making it takes no time: others wait for it.
    pub fn get_with(&self, key: K, make: impl FnOnce() -> V) -> V {
        let mut shard = self.shard(&key);
        if let Some(value) = shard.get(&key) {
            return value;
        }
        let value = make();
        let weight = (self.weigh)(&key, &value);
        let gone = shard.insert(key, value.clone(), weight);
        drop(shard);
        drop(gone);
        value
    }

    /// Puts a value in, in the place of the one before.
    pub fn insert(&self, key: K, value: V) {
        let weight = (self.weigh)(&key, &value);
        let gone = self.shard(&key).insert(key, value, weight);
        // What goes is dropped without the lock: it may be large.
        drop(gone);
    }

    /// Drops a value.
    pub fn invalidate<Q: ?Sized + Hash + Eq>(&self, key: &Q)
    where
        K: Borrow<Q>,
    {
        let gone = self.shard(key).remove(key);
        drop(gone);
    }

    /// Drops all.
    pub fn invalidate_all(&self) {
        for shard in self.shards.iter() {
            let mut shard = lock(shard);
            *shard = Shard::new(shard.capacity, self.seeds);
        }
    }

    fn shard<Q: ?Sized + Hash>(&self, key: &Q) -> MutexGuard<'_, Shard<K, V>> {
        // Maps take the lowest and the highest bits.
        lock(&self.shards[(self.seeds.hash_one(key) >> 40) as usize % SHARDS])
    }
}

fn lock<T>(shard: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic in between leaves a place that nobody finds, at worst.
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<K: Clone + Eq + Hash, V: Clone> Shard<K, V> {
    fn new(capacity: u64, seeds: Seeds) -> Self {
        let places = HashMap::with_hasher(seeds);
        Self { places, kept: Vec::new(), free: Vec::new(), hand: 0, weight: 0, capacity }
    }

    fn get<Q: ?Sized + Hash + Eq>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let kept = self.kept.get_mut(*self.places.get(key)?)?.as_mut()?;
        kept.marks = (kept.marks + 1).min(MARKS);
        Some(kept.value.clone())
    }

    /// Returns what had to go.
    fn insert(&mut self, key: K, value: V, weight: u32) -> Vec<Kept<K, V>> {
        let weight = weight.max(1);
        let mut gone: Vec<_> = self.remove(&key).into_iter().collect();
        if u64::from(weight) > self.capacity {
            return gone;
        }
        let marks = gone.first().map_or(0, |before| before.marks);
        while self.weight + u64::from(weight) > self.capacity {
            gone.extend(self.turn());
        }
        self.weight += u64::from(weight);
        let kept = Some(Kept { key: key.clone(), value, weight, marks });
        let place = match self.free.pop() {
            Some(place) => {
                self.kept[place] = kept;
                place
            }
            None => {
                self.kept.push(kept);
                self.kept.len() - 1
            }
        };
        self.places.insert(key, place);
        gone
    }

    /// Moves the hand by one place.
    fn turn(&mut self) -> Option<Kept<K, V>> {
        self.hand = if self.hand + 1 < self.kept.len() { self.hand + 1 } else { 0 };
        match self.kept.get_mut(self.hand)?.as_mut()? {
            kept if kept.marks > 0 => {
                kept.marks -= 1;
                None
            }
            kept => {
                let key = kept.key.clone();
                self.remove(&key)
            }
        }
    }

    fn remove<Q: ?Sized + Hash + Eq>(&mut self, key: &Q) -> Option<Kept<K, V>>
    where
        K: Borrow<Q>,
    {
        let place = self.places.remove(key)?;
        let kept = self.kept.get_mut(place)?.take()?;
        self.free.push(place);
        self.weight -= u64::from(kept.weight);
        Some(kept)
    }
}

impl<K, V> Clone for Cache<K, V> {
    fn clone(&self) -> Self {
        Self { shards: Arc::clone(&self.shards), seeds: self.seeds, weigh: self.weigh }
    }
}

impl<K, V> fmt::Debug for Cache<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cache")
    }
}

/// Hashes by multiplication, with numbers that nobody outside knows.
#[derive(Clone, Copy)]
struct Seeds(u64, u64);

impl Seeds {
    fn new() -> Self {
        let random = || RandomState::new().hash_one(0) | 1;
        Self(random(), random())
    }
}

impl BuildHasher for Seeds {
    type Hasher = Folded;

    fn build_hasher(&self) -> Folded {
        Folded(self.0, self.1)
    }
}

struct Folded(u64, u64);

impl Folded {
    fn fold(&mut self, more: u64) {
        let product = u128::from(self.0 ^ more) * u128::from(self.1);
        self.0 = (product as u64) ^ ((product >> 64) as u64);
    }
}

impl Hasher for Folded {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.fold(u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        // Its length keeps "a" and "a\0" apart.
        self.fold(u64::from_le_bytes(last) ^ ((rest.len() as u64 + 1) << 56));
    }

    fn write_u8(&mut self, n: u8) {
        self.fold(n.into());
    }

    fn write_u32(&mut self, n: u32) {
        self.fold(n.into());
    }

    fn write_u64(&mut self, n: u64) {
        self.fold(n);
    }

    fn write_usize(&mut self, n: usize) {
        self.fold(n as u64);
    }

    fn finish(&self) -> u64 {
        let product = u128::from(self.0) * u128::from(self.1 ^ 0x9e37_79b9_7f4a_7c15);
        (product as u64) ^ ((product >> 64) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_looked_at_outlives_what_is_not() {
        let cache: Cache<u64, u64> = Cache::new(800);
        for n in 0..10_000 {
            cache.insert(n, n);
            for kept in 0..20 {
                cache.get(&kept);
            }
        }
        assert_eq!((0..20).filter(|n| cache.get(n) == Some(*n)).count(), 20);
        assert!((0..10_000).filter(|n| cache.contains_key(n)).count() <= 800);
    }

    #[test]
    fn a_value_is_as_heavy_as_it_was_when_it_came() {
        let weigh = |_: &u8, list: &Arc<Mutex<Vec<u8>>>| list.lock().unwrap().len() as u32;
        let cache: Cache<u8, Arc<Mutex<Vec<u8>>>> = Cache::weighed(8000, weigh);
        for n in 0..200 {
            let list = cache.get_with(n, Arc::default);
            *list.lock().unwrap() = vec![0; 500];
            cache.invalidate(&n);
            cache.insert(n, list);
        }
        assert!((1..=16).contains(&(0..200).filter(|n| cache.contains_key(n)).count()));
        cache.insert(7, Arc::new(Mutex::new(vec![0; 2000])));
        assert!(!cache.contains_key(&7), "too heavy for its part");
        cache.invalidate_all();
        assert!((0..200).all(|n| cache.get(&n).is_none()));
    }

    #[test]
    fn it_answers_as_a_map_does() {
        let (cache, mut map) = (Cache::<String, u64>::new(1 << 20), HashMap::new());
        let mut seed = 7_u64;
        for _ in 0..50_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let key = format!("{}", (seed >> 33) % 500);
            match (seed >> 60) % 4 {
                0 => {
                    cache.invalidate(key.as_str());
                    map.remove(&key);
                }
                1 => {
                    cache.insert(key.clone(), seed);
                    map.insert(key, seed);
                }
                2 => assert_eq!(cache.get_with(key.clone(), || seed), *map.entry(key).or_insert(seed)),
                _ => assert_eq!(cache.get(key.as_str()), map.get(&key).copied()),
            }
        }
    }

    #[test]
    fn numbers_spread_over_all_shards() {
        let seeds = Seeds::new();
        let mut count = [0; SHARDS];
        (0..8000_u64).for_each(|n| count[(seeds.hash_one(n << 10) >> 40) as usize % SHARDS] += 1);
        assert!(count.iter().all(|n| (700..1300).contains(n)), "{count:?}");
    }
}
