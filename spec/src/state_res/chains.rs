//! Auth chains by walking: for callers that hold a room's auth events in memory and keep no index of chains.
//!
//! **Invariant:** a state's chain holds its own events and all their ancestors by `auth_events`, as the reference server
//! counts. The specification's words leave the state's own events out, and would make another state of some rooms.

use super::{
    ResolveError, StateEntry,
    intern::{Interner, hash, same},
};
use crate::event::Pdu;

/// In which states' full auth chains each event is.
#[derive(Debug)]
pub struct AuthChains<'a> {
    ids: Vec<&'a str>,
    interner: Interner,
    /// A bit a state, `words` words an event.
    bits: Vec<u64>,
    words: usize,
    states: usize,
}

impl<'a> AuthChains<'a> {
    /// Walks from every event of every state to the room's beginning.
    ///
    /// # Errors
    /// [`ResolveError::Missing`] with every event that `event` did not find on the way.
    pub fn walk<States: AsRef<[StateEntry<'a>]>>(
        states: &'a [States],
        event: impl Fn(&str) -> Option<&'a Pdu>,
    ) -> Result<Self, ResolveError> {
        let words = states.len().div_ceil(64).max(1);
        let mut chains = Self {
            ids: Vec::new(),
            interner: Interner::with_capacity(64),
            bits: Vec::new(),
            words,
            states: states.len(),
        };
        let mut missing: Vec<&str> = Vec::new();
        let mut pdus: Vec<Option<&'a Pdu>> = Vec::new();
        let mut stack: Vec<u32> = Vec::new();
        for (state, entries) in states.iter().enumerate() {
            for entry in entries.as_ref() {
                stack.push(chains.number(entry.event_id));
                while let Some(number) = stack.pop() {
                    if chains.mark(number, state) {
                        continue;
                    }
                    pdus.resize(chains.ids.len(), None);
                    let id = chains.ids[number as usize];
                    let known = pdus[number as usize].or_else(|| event(id));
                    pdus[number as usize] = known;
                    match known {
                        Some(pdu) => stack.extend(pdu.auth_events().iter().map(|id| chains.number(id))),
                        None => missing.push(id),
                    }
                }
            }
        }
        if missing.is_empty() {
            return Ok(chains);
        }
        missing.sort_unstable();
        missing.dedup();
        Err(ResolveError::Missing(missing.into_iter().map(str::to_owned).collect()))
    }

    /// Whether the event is in the auth chain of every state.
    pub fn in_every(&self, event_id: &str) -> bool {
        let Some(number) = self.find(event_id) else { return self.states == 0 };
        let start = number as usize * self.words;
        let count: u32 = self.bits[start..start + self.words].iter().map(|word| word.count_ones()).sum();
        count as usize == self.states
    }

    fn find(&self, id: &str) -> Option<u32> {
        self.interner.find(hash(id), |number| same(self.ids[number as usize], id))
    }

    fn number(&mut self, id: &'a str) -> u32 {
        let Self { ids, interner, bits, words, .. } = self;
        let is_same = |number: u32| same(ids[number as usize], id);
        let number = interner.find_or_insert(hash(id), is_same, |number| hash(ids[number as usize]));
        if number as usize == ids.len() {
            ids.push(id);
            bits.resize(bits.len() + *words, 0);
        }
        number
    }

    /// Sets a state's bit of an event; whether it was set before.
    fn mark(&mut self, number: u32, state: usize) -> bool {
        let word = &mut self.bits[number as usize * self.words + state / 64];
        let bit = 1 << (state % 64);
        let was_set = *word & bit != 0;
        *word |= bit;
        was_set
    }
}
