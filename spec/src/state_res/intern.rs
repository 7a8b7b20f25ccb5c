//! Strings into small numbers.
//!
//! **Invariant:** numbers are dense and given in order of first appearance; the hash seeds a process draws decide only
//! over speed, never over a result.

use std::{collections::hash_map::RandomState, hash::BuildHasher, sync::LazyLock};

const EMPTY: u32 = u32::MAX;

/// An open-addressing table from hashes to numbers; the caller keeps the strings and compares them.
#[derive(Clone, Debug)]
pub(super) struct Interner {
    /// Pairs of the hash's upper half and the number; the length is a power of two.
    slots: Vec<(u32, u32)>,
    len: u32,
}

impl Interner {
    pub(super) fn with_capacity(capacity: usize) -> Self {
        Self { slots: vec![(0, EMPTY); (capacity * 3 / 2 + 2).next_power_of_two().max(16)], len: 0 }
    }

    /// The number with this hash that `is_same` confirms.
    pub(super) fn find(&self, hash: u64, mut is_same: impl FnMut(u32) -> bool) -> Option<u32> {
        let mask = self.slots.len() - 1;
        let mut slot = hash as usize & mask;
        loop {
            let (tag, number) = self.slots[slot];
            if number == EMPTY {
                return None;
            }
            if tag == (hash >> 32) as u32 && is_same(number) {
                return Some(number);
            }
            slot = (slot + 1) & mask;
        }
    }

    /// The number with this hash that `is_same` confirms, or the next number, which is new then. `hash_of` tells the
    /// hashes of earlier numbers, for when the table grows.
    pub(super) fn find_or_insert(
        &mut self,
        hash: u64,
        mut is_same: impl FnMut(u32) -> bool,
        hash_of: impl Fn(u32) -> u64,
    ) -> u32 {
        if (self.len as usize + 1) * 3 > self.slots.len() * 2 {
            self.grow(hash_of);
        }
        let mask = self.slots.len() - 1;
        let mut slot = hash as usize & mask;
        loop {
            let (tag, number) = self.slots[slot];
            if number == EMPTY {
                let number = self.len;
                self.slots[slot] = ((hash >> 32) as u32, number);
                self.len += 1;
                return number;
            }
            if tag == (hash >> 32) as u32 && is_same(number) {
                return number;
            }
            slot = (slot + 1) & mask;
        }
    }

    fn grow(&mut self, hash_of: impl Fn(u32) -> u64) {
        let slots = self.slots.len() * 2;
        self.slots.clear();
        self.slots.resize(slots, (0, EMPTY));
        for number in 0..self.len {
            let hash = hash_of(number);
            let mut slot = hash as usize & (slots - 1);
            while self.slots[slot].1 != EMPTY {
                slot = (slot + 1) & (slots - 1);
            }
            self.slots[slot] = ((hash >> 32) as u32, number);
        }
    }
}

/// Equality that looks at the address first: states of one room mostly share their strings.
pub(super) fn same(a: &str, b: &str) -> bool {
    a.len() == b.len() && (std::ptr::eq(a, b) || a == b)
}

/// A hash of one string: folded multiplication under seeds that an attacker cannot know.
pub(super) fn hash(text: &str) -> u64 {
    mix(*SEED, text.as_bytes())
}

/// A hash of a state key.
pub(super) fn hash_key(kind: &str, state_key: &str) -> u64 {
    hash_state_key(hash(kind), state_key)
}

/// A hash of a state key, of the hash of its type.
pub(super) fn hash_state_key(kind: u64, state_key: &str) -> u64 {
    mix(kind, state_key.as_bytes())
}

static SEED: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(0_u64));

fn mix(seed: u64, bytes: &[u8]) -> u64 {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    // Secret like the first, so that no text can be chosen to meet it and bring a product to zero.
    let second = seed.rotate_left(32) ^ ODD;
    let mut state = seed ^ (bytes.len() as u64).wrapping_mul(ODD);
    // Sixteen bytes at a time; the last ones overlap what came before rather than be read one by one.
    let mut rest = bytes;
    while rest.len() > 16 {
        state = fold(state ^ first_eight(rest), second ^ first_eight(&rest[8..]));
        rest = &rest[16..];
    }
    let (low, high) = match bytes.len() {
        0 => (0, 0),
        1..8 => (bytes.iter().fold(0, |word, byte| word << 8 | u64::from(*byte)), 0),
        8..16 => (first_eight(bytes), last_eight(bytes)),
        _ => (last_eight(&bytes[..bytes.len() - 8]), last_eight(bytes)),
    };
    fold(fold(state ^ low, second ^ high), seed | 1)
}

fn first_eight(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |chunk| u64::from_le_bytes(*chunk))
}

fn last_eight(bytes: &[u8]) -> u64 {
    bytes.last_chunk().map_or(0, |chunk| u64::from_le_bytes(*chunk))
}

fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_string_keeps_its_number_while_the_table_grows() {
        let texts: Vec<String> = (0..10_000).map(|number| format!("@user{number}:example.org")).collect();
        let mut interner = Interner::with_capacity(0);
        for round in 0..2 {
            for (index, text) in texts.iter().enumerate() {
                let is_text = |number: u32| texts[number as usize] == *text;
                let expected = (round > 0).then_some(index as u32);
                assert_eq!(interner.find(hash(text), is_text), expected);
                let number = interner.find_or_insert(hash(text), is_text, |number| hash(&texts[number as usize]));
                assert_eq!(number, index as u32);
            }
        }
    }

    #[test]
    fn where_type_ends_and_state_key_begins_matters() {
        assert_ne!(hash_key("ab", "c"), hash_key("a", "bc"));
        assert_ne!(hash_key("", "a"), hash_key("a", ""));
    }
}
