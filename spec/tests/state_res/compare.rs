//! Resolving a room of the tests, and what one would do who knew nothing of state resolution.

use crate::room::Room;
use roost_spec::{
    event::Pdu,
    state_res::{Fault, ResolveError, Source, StateEntry, chains::AuthChains, resolve_with},
};
use std::collections::BTreeMap;

/// Event ids by type and state key.
pub type Resolved = BTreeMap<(String, String), String>;

impl Room {
    pub fn resolve(&self, states: &[Vec<StateEntry<'_>>], fault: Option<Fault>) -> Result<Resolved, ResolveError> {
        let chains = AuthChains::walk(states, |id| self.events.get(id))?;
        let source = Events { room: self, chains };
        let resolved = resolve_with(self.rules(), states, &source, fault)?;
        Ok(resolved
            .iter()
            .map(|entry| ((entry.kind.to_owned(), entry.state_key.to_owned()), entry.event_id.to_owned()))
            .collect())
    }

    /// For every key the newest event, which is what one would do who knew nothing of state resolution.
    pub fn newest_wins(&self) -> Resolved {
        let mut newest: BTreeMap<(String, String), &Pdu> = BTreeMap::new();
        for (key, pdu) in self.states.iter().flatten() {
            let place = newest.entry(key.clone()).or_insert(pdu);
            if (place.origin_server_ts(), place.event_id()) < (pdu.origin_server_ts(), pdu.event_id()) {
                *place = pdu;
            }
        }
        newest.into_iter().map(|(key, pdu)| (key, pdu.event_id().to_owned())).collect()
    }
}

pub struct Events<'a> {
    pub room: &'a Room,
    pub chains: AuthChains<'a>,
}

impl Source for Events<'_> {
    fn event(&self, event_id: &str) -> Option<&Pdu> {
        self.room.events.get(event_id)
    }

    fn is_rejected(&self, event_id: &str) -> bool {
        self.room.rejected.contains(event_id)
    }

    fn in_every_auth_chain(&self, event_id: &str) -> bool {
        self.chains.in_every(event_id)
    }
}
