//! The states, split into what they agree on and what they don't.
//!
//! **Invariant:** no event is looked up here.

use super::{
    StateEntry,
    intern::{Interner, hash, hash_key, hash_state_key, same},
};

/// A state key's number.
pub(super) type Key = u32;

/// The states side by side.
#[derive(Clone, Debug)]
pub(super) struct Split<'a> {
    rows: Vec<Row<'a>>,
    /// Keys that no state has: of events behind the auth chains. Their numbers follow those of `rows`.
    extra: Vec<(&'a str, &'a str)>,
    interner: Interner,
    states: u32,
    /// Whether it is a conflict that a state does not have a key: so for v2, not for v1.
    absence_counts: bool,
    /// Event ids beyond the first of their key; repetitions are possible.
    further: Vec<(Key, &'a str)>,
}

/// A key. Small, because there is one for every member.
#[derive(Clone, Debug)]
struct Row<'a> {
    /// The first entry seen, which stands for the key as well.
    first: &'a StateEntry<'a>,
    /// How many states have just this entry.
    count: u32,
    /// Whether another event id was seen.
    disputed: bool,
}

impl<'a> Split<'a> {
    pub(super) fn new<States: AsRef<[StateEntry<'a>]>>(states: &'a [States], absence_counts: bool) -> Self {
        let largest = states.iter().map(|state| state.as_ref().len()).max().unwrap_or(0);
        let mut split = Self {
            rows: Vec::with_capacity(largest),
            extra: Vec::new(),
            interner: Interner::with_capacity(largest),
            states: states.len() as u32,
            absence_counts,
            further: Vec::new(),
        };
        let mut states = states.iter().map(AsRef::as_ref);
        split.add_first(states.next().unwrap_or_default());
        for state in states {
            split.add(state);
        }
        split
    }

    /// The first state: all keys are new. Many are hashed before any is put into the table, so that the processor waits
    /// for many texts at once; where little is conflicted, this is a third of a resolution's time.
    fn add_first(&mut self, state: &'a [StateEntry<'a>]) {
        let mut hasher = KeyHasher::default();
        let mut hashes = [0; 128];
        for block in state.chunks(hashes.len()) {
            for (entry, hash) in block.iter().zip(&mut hashes) {
                *hash = hasher.hash(entry);
            }
            for (entry, hash) in block.iter().zip(hashes) {
                let key = self.find_or_insert(entry, hash);
                self.count(key, entry);
            }
        }
    }

    /// A further state. One that comes in the order of the first is compared in step, without hashing.
    fn add(&mut self, state: &'a [StateEntry<'a>]) {
        let mut hasher = KeyHasher::default();
        let mut expected = 0;
        for entry in state {
            let key = match self.rows.get(expected) {
                Some(row) if row.is(entry.kind, entry.state_key) => expected as Key,
                _ => self.find_or_insert(entry, hasher.hash(entry)),
            };
            self.count(key, entry);
            expected = key as usize + 1;
        }
    }

    fn find_or_insert(&mut self, entry: &'a StateEntry<'a>, hash: u64) -> Key {
        let Self { rows, interner, .. } = self;
        let is_same = |key: Key| rows[key as usize].is(entry.kind, entry.state_key);
        let key = interner.find_or_insert(hash, is_same, |key| rows[key as usize].hash());
        if key as usize == rows.len() {
            rows.push(Row { first: entry, count: 0, disputed: false });
        }
        key
    }

    fn count(&mut self, key: Key, entry: &StateEntry<'a>) {
        let row = &mut self.rows[key as usize];
        if same(row.first.event_id, entry.event_id) {
            row.count += 1;
        } else {
            row.disputed = true;
            self.further.push((key, entry.event_id));
        }
    }

    /// How many keys the states have; their numbers are below.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    fn is_conflicted(&self, row: &Row<'_>) -> bool {
        row.disputed || (self.absence_counts && row.count < self.states)
    }

    /// The conflicted keys with their event ids, each event possibly more than once.
    pub(super) fn conflicted(&self) -> Vec<(Key, &'a str)> {
        let rows = (0..).zip(&self.rows).filter(|(_, row)| self.is_conflicted(row));
        rows.map(|(key, row)| (key, row.first.event_id)).chain(self.further.iter().copied()).collect()
    }

    /// Everything that is not conflicted.
    pub(super) fn agreed(&self) -> impl Iterator<Item = StateEntry<'a>> {
        self.rows.iter().filter(|row| !self.is_conflicted(row)).map(|row| *row.first)
    }

    /// The event that all states agree on for a key.
    pub(super) fn agreed_event(&self, key: Key) -> Option<&'a str> {
        let row = self.rows.get(key as usize)?;
        (!self.is_conflicted(row)).then_some(row.first.event_id)
    }

    /// The number of a key that a state has, or that was added.
    pub(super) fn key(&self, kind: &str, state_key: &str) -> Option<Key> {
        self.interner.find(hash_key(kind, state_key), |key| self.is(key, kind, state_key))
    }

    /// The number of a key that perhaps none of the states has.
    pub(super) fn key_or_new(&mut self, kind: &'a str, state_key: &'a str) -> Key {
        let Self { rows, extra, interner, .. } = self;
        let text = |key: Key| match rows.get(key as usize) {
            Some(row) => (row.first.kind, row.first.state_key),
            None => extra[key as usize - rows.len()],
        };
        let is_same = |key| same(text(key).1, state_key) && same(text(key).0, kind);
        let key = interner.find_or_insert(hash_key(kind, state_key), is_same, |key| hash_key(text(key).0, text(key).1));
        if key as usize == rows.len() + extra.len() {
            extra.push((kind, state_key));
        }
        key
    }

    /// The entry that puts an event under a key.
    pub(super) fn entry(&self, key: Key, event_id: &'a str) -> StateEntry<'a> {
        let (kind, state_key) = match self.rows.get(key as usize) {
            Some(row) => (row.first.kind, row.first.state_key),
            None => self.extra[key as usize - self.rows.len()],
        };
        StateEntry { kind, state_key, event_id }
    }

    fn is(&self, key: Key, kind: &str, state_key: &str) -> bool {
        let entry = self.entry(key, "");
        same(entry.state_key, state_key) && same(entry.kind, kind)
    }
}

/// Hashes keys in a row, most of which have the type of the one before.
struct KeyHasher<'a> {
    kind: &'a str,
    hash: u64,
}

impl Default for KeyHasher<'_> {
    fn default() -> Self {
        Self { kind: "", hash: hash("") }
    }
}

impl<'a> KeyHasher<'a> {
    fn hash(&mut self, entry: &StateEntry<'a>) -> u64 {
        if !same(self.kind, entry.kind) {
            *self = Self { kind: entry.kind, hash: hash(entry.kind) };
        }
        hash_state_key(self.hash, entry.state_key)
    }
}

impl Row<'_> {
    fn is(&self, kind: &str, state_key: &str) -> bool {
        same(self.first.state_key, state_key) && same(self.first.kind, kind)
    }

    fn hash(&self) -> u64 {
        hash_key(self.first.kind, self.first.state_key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(entries: &[(&'static str, &'static str)]) -> Vec<StateEntry<'static>> {
        entries.iter().map(|&(kind, event_id)| StateEntry { kind, state_key: "", event_id }).collect()
    }

    #[test]
    fn absence_is_a_conflict_for_v2_and_none_for_v1() {
        let states = [state(&[("a", "1"), ("b", "2"), ("c", "3")]), state(&[("c", "4"), ("a", "1")])];
        let ids = |absence| Split::new(&states, absence).conflicted().into_iter().map(|(_, id)| id).collect::<Vec<_>>();
        assert_eq!(ids(true), ["2", "3", "4"]);
        assert_eq!(ids(false), ["3", "4"]);
        let agreed = |absence| Split::new(&states, absence).agreed().collect::<Vec<_>>();
        assert_eq!(agreed(true), state(&[("a", "1")]));
        assert_eq!(agreed(false), state(&[("a", "1"), ("b", "2")]));
        let agreed_event = |absence| {
            let split = Split::new(&states, absence);
            split.agreed_event(split.key("b", "").unwrap())
        };
        assert_eq!((agreed_event(true), agreed_event(false)), (None, Some("2")));
    }

    #[test]
    fn keys_that_no_state_has_are_numbered_behind_the_others() {
        let states = [state(&[("a", "1")])];
        let mut split = Split::new(&states, true);
        assert_eq!(split.key("x", ""), None);
        for name in ["x", "y", "x"] {
            split.key_or_new(name, "");
        }
        assert_eq!((split.key("a", ""), split.key("x", ""), split.key("y", "")), (Some(0), Some(1), Some(2)));
        assert_eq!(split.entry(2, "9"), StateEntry { kind: "y", state_key: "", event_id: "9" });
        assert_eq!((split.len(), split.agreed_event(1)), (1, None));
    }
}
