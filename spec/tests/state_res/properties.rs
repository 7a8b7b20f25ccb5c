//! What holds without an oracle: no influence of order, and nothing to do where all agree.

use crate::{common::Random, generator, room::Room};
use roost_spec::{
    room_version::RoomVersion,
    state_res::{StateEntry, resolve},
};

fn rooms() -> impl Iterator<Item = Room> {
    (0..600).map(|seed| generator::room(RoomVersion::ALL[seed as usize % 12], seed))
}

fn shuffle<T>(random: &mut Random, items: &mut [T]) {
    for index in (1..items.len()).rev() {
        items.swap(index, random.below(index + 1));
    }
}

#[test]
fn the_order_of_states_and_of_their_entries_does_not_matter() {
    let random = &mut Random::new(1);
    for room in rooms() {
        let expected = room.resolve(&room.entries(), None).unwrap();
        for _ in 0..3 {
            let mut states = room.entries();
            shuffle(random, &mut states);
            states.iter_mut().for_each(|state| shuffle(random, state));
            assert_eq!(room.resolve(&states, None).unwrap(), expected);
        }
    }
}

#[test]
fn a_state_given_twice_counts_once() {
    for room in rooms() {
        let states = room.entries();
        let twice: Vec<_> = states.iter().chain(&states).cloned().collect();
        assert_eq!(room.resolve(&twice, None).unwrap(), room.resolve(&states, None).unwrap());
    }
}

#[test]
fn a_resolved_state_resolves_to_itself() {
    for room in rooms() {
        let resolved = room.resolve(&room.entries(), None).unwrap();
        let state: Vec<_> =
            resolved.iter().map(|((kind, state_key), event_id)| StateEntry { kind, state_key, event_id }).collect();
        assert_eq!(room.resolve(std::slice::from_ref(&state), None).unwrap(), resolved);
        assert_eq!(room.resolve(&[state.clone(), state], None).unwrap(), resolved);
    }
}

#[test]
fn no_states_make_an_empty_state() {
    let room = generator::room(RoomVersion::V12, 0);
    let source = crate::compare::Events {
        chains: roost_spec::state_res::chains::AuthChains::walk::<Vec<StateEntry<'_>>>(&[], |_| None).unwrap(),
        room: &room,
    };
    let resolved = resolve::<Vec<StateEntry<'_>>, _>(room.rules(), &[], &source).unwrap();
    assert_eq!(resolved.iter().count(), 0);
}
