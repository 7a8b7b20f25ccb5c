//! Parsed state events: what authorization reads.

use std::collections::HashMap;

use roost_spec::event::Pdu;

use super::{Room, Rooms, state::StateMap};
use crate::{
    cache::Cache,
    storage::{self, Error, EventNr, Result, Sym},
};

/// Parsed events by number.
#[derive(Clone)]
pub(super) struct Pdus(Cache<EventNr, Pdu>);

/// In bytes.
const CAPACITY: u64 = 16 << 20;

impl Pdus {
    pub fn new() -> Self {
        let weigh = |_: &EventNr, pdu: &Pdu| u32::try_from(512 + pdu.json().len() * 3).unwrap_or(u32::MAX);
        Self(Cache::weighed(CAPACITY, weigh))
    }

    pub fn get(&self, nr: EventNr) -> Option<Pdu> {
        self.0.get(&nr)
    }

    /// Keeps `pdu` if authorization may ask for it.
    pub fn keep(&self, nr: EventNr, kind: Sym, pdu: &Pdu) {
        let decides =
            matches!(kind, Sym::CREATE | Sym::MEMBER | Sym::POWER_LEVELS | Sym::JOIN_RULES | Sym::THIRD_PARTY_INVITE);
        if decides && pdu.state_key().is_some() {
            self.0.insert(nr, pdu.clone());
        }
    }
}

impl Rooms {
    /// The events with the given numbers, parsed; one query at most.
    pub(super) async fn pdus(&self, room: &Room, numbers: &[EventNr]) -> Result<HashMap<EventNr, Pdu>> {
        let mut found = HashMap::with_capacity(numbers.len());
        let mut missing = Vec::new();
        for nr in numbers {
            match self.0.caches.pdus.get(*nr) {
                Some(pdu) => drop(found.insert(*nr, pdu)),
                None => missing.push(*nr),
            }
        }
        if !missing.is_empty() {
            for event in storage::event::by_nrs(&self.0.pool, &missing).await? {
                let pdu = Pdu::parse_trusted(room.rules, &event.json, Some(&event.id))
                    .map_err(|error| Error::Inconsistent(format!("event {} can't be read: {error}", event.nr.0)))?;
                self.0.caches.pdus.keep(event.nr, event.kind, &pdu);
                found.insert(event.nr, pdu);
            }
        }
        Ok(found)
    }

    /// The state event of `state` under `key`, parsed.
    pub(super) async fn state_pdu(&self, room: &Room, state: &StateMap, key: super::StateKey) -> Result<Option<Pdu>> {
        let Some(nr) = state.get(&key).copied() else { return Ok(None) };
        Ok(self.pdus(room, &[nr]).await?.remove(&nr))
    }
}
