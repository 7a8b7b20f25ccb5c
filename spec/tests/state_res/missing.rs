//! What the source does not have is named, and loading it is all that a caller must do.

use crate::{compare::Events, generator, room::Room};
use roost_spec::{
    event::Pdu,
    room_version::RoomVersion,
    state_res::{ResolveError, Source, chains::AuthChains, resolve},
};
use std::collections::HashSet;

/// A source that has only what was loaded.
struct Partial<'a> {
    all: Events<'a>,
    loaded: HashSet<String>,
}

impl Source for Partial<'_> {
    fn event(&self, event_id: &str) -> Option<&Pdu> {
        self.loaded.contains(event_id).then(|| self.all.event(event_id)).flatten()
    }

    fn is_rejected(&self, event_id: &str) -> bool {
        self.all.is_rejected(event_id)
    }

    fn in_every_auth_chain(&self, event_id: &str) -> bool {
        self.all.in_every_auth_chain(event_id)
    }
}

fn load_until_resolved(room: &Room) -> (usize, usize) {
    let states = room.entries();
    let chains = AuthChains::walk(&states, |id| room.events.get(id)).unwrap();
    let mut source = Partial { all: Events { room, chains }, loaded: HashSet::new() };
    for round in 0.. {
        let missing = match resolve(room.rules(), &states, &source) {
            Ok(resolved) => {
                let ours: HashSet<_> = resolved.iter().map(|entry| entry.event_id.to_owned()).collect();
                let whole: HashSet<_> = room.resolve(&states, None).unwrap().into_values().collect();
                assert_eq!(ours, whole);
                return (round, source.loaded.len());
            }
            Err(ResolveError::Missing(missing)) => missing,
            Err(error) => panic!("{error}"),
        };
        assert!(missing.is_sorted());
        for id in missing {
            assert!(source.loaded.insert(id), "a loaded event is not missing");
        }
    }
    unreachable!("rounds do not end otherwise")
}

#[test]
fn loading_what_is_missing_leads_to_the_same_result() {
    for seed in 0..240 {
        let room = generator::room(RoomVersion::ALL[seed as usize % 12], seed);
        let (rounds, _) = load_until_resolved(&room);
        assert!(rounds < 60, "{rounds} rounds");
    }
}

#[test]
fn a_large_room_needs_few_of_its_events() {
    for version in [RoomVersion::V1, RoomVersion::V10, RoomVersion::V12] {
        let room = generator::room(version, 99);
        let (_, loaded) = load_until_resolved(&room);
        assert!(room.events.len() > 2_000 && loaded < 150, "{loaded} of {}", room.events.len());
    }
}

#[test]
fn an_event_that_is_nowhere_is_named() {
    let mut room = generator::room(RoomVersion::V11, 5);
    let states = room.states.clone();
    let conflicted = states[0].iter().find(|(key, pdu)| states[1].get(*key) != Some(*pdu)).unwrap().1;
    let chains_room = generator::room(RoomVersion::V11, 5);
    let entries = chains_room.entries();
    let chains = AuthChains::walk(&entries, |id| chains_room.events.get(id)).unwrap();
    room.events.remove(conflicted.event_id());
    let error = resolve(room.rules(), &entries, &Events { room: &room, chains }).unwrap_err();
    assert!(
        matches!(&error, ResolveError::Missing(ids) if ids.iter().any(|id| id == conflicted.event_id())),
        "{error}"
    );
    let error = AuthChains::walk(&entries, |id| room.events.get(id)).unwrap_err();
    assert!(matches!(error, ResolveError::Missing(_)));
}
