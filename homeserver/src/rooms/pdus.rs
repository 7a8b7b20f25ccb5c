//! Parsed state events: what authorization reads. In memory; follows the log, because a redacted one says less.

use std::collections::HashMap;

use roost_spec::event::Pdu;

use super::{Doubted, Room, Rooms, state::StateMap};
use crate::{
    cache::Cache,
    log::{Apply, Slice},
    storage::{self, Error, EventNr, Result, Sym},
};

/// Parsed events by number.
pub(super) struct Pdus(Doubted<EventNr, Pdu>);

/// In bytes.
const CAPACITY: u64 = 16 << 20;

impl Pdus {
    pub fn new() -> Self {
        let weigh = |_: &EventNr, pdu: &Pdu| u32::try_from(512 + pdu.json().len() * 3).unwrap_or(u32::MAX);
        Self(Doubted::new(Cache::weighed(CAPACITY, weigh)))
    }

    pub fn get(&self, nr: EventNr) -> Option<Pdu> {
        self.0.get(nr)
    }

    /// Keeps an event that was just made, if authorization may ask for it.
    pub fn insert(&self, nr: EventNr, kind: Sym, pdu: &Pdu) {
        if decides(kind, pdu) {
            self.0.insert(nr, pdu.clone());
        }
    }
}

/// Whether authorization may ask for the event.
fn decides(kind: Sym, pdu: &Pdu) -> bool {
    let decides =
        matches!(kind, Sym::CREATE | Sym::MEMBER | Sym::POWER_LEVELS | Sym::JOIN_RULES | Sym::THIRD_PARTY_INVITE);
    decides && pdu.state_key().is_some()
}

impl Apply for Pdus {
    fn apply(&self, slice: &Slice, _own: bool) {
        match &slice.events {
            Some(events) => events.iter().filter_map(|event| event.redacts).for_each(|target| self.0.doubt(target)),
            // Which events were redacted is not said; seldom, and few are read anew.
            None if !slice.rooms.is_empty() => self.0.doubt_all(),
            None => {}
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
            let ticket = self.0.caches.pdus.0.ticket();
            for event in storage::event::by_nrs(&self.0.pool, &missing).await? {
                let pdu = Pdu::parse_trusted(room.rules, &event.json, Some(&event.id))
                    .map_err(|error| Error::Inconsistent(format!("event {} can't be read: {error}", event.nr.0)))?;
                if decides(event.kind, &pdu) {
                    self.0.caches.pdus.0.keep(ticket, event.nr, pdu.clone());
                }
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use roost_spec::room_version::RoomVersion;

    use super::*;
    use crate::{log::LogEvent, storage::RoomNr};

    #[test]
    fn what_was_redacted_is_parsed_anew() {
        let pdus = Pdus::new();
        let json = r#"{"content":{"notifications":{"room":0}},"sender":"@a:b","state_key":"","type":"m.room.power_levels",
            "auth_events":[],"prev_events":[],"depth":1,"origin_server_ts":1,"room_id":"!a:b","hashes":{},"signatures":{}}"#;
        let rules = RoomVersion::parse("11").unwrap().rules();
        let pdu = Pdu::parse_trusted(rules, json, Some("$1")).unwrap();
        let redaction = LogEvent { redacts: Some(EventNr(1)), ..LogEvent::of_test(RoomNr(1), 2) };
        for slice in [Some(vec![Arc::new(redaction)]), None] {
            pdus.insert(EventNr(1), Sym::POWER_LEVELS, &pdu);
            assert!(pdus.get(EventNr(1)).is_some());
            pdus.apply(&Slice::of_test(2, 2, vec![RoomNr(1)], slice), false);
            assert!(pdus.get(EventNr(1)).is_none());
        }
    }
}
