//! v2 (room versions 2 to 11) and v2.1 (room version 12) against `ruma-state-res`.
//!
//! One case is left out of the rooms, because ruma and the network differ: a room whose join rules count for nothing
//! (here: were rejected). ruma then refuses every join; ours takes the rule to be `invite`, as Synapse does, so that
//! those who are in may still change their profile.

use std::collections::HashSet;

use crate::{compare::Resolved, generator, room::Room, ruma::RumaRoom};
use roost_spec::{room_version::RoomVersion, state_res::Fault};
use ruma_common::OwnedEventId;
use ruma_state_res::{Event, StateMap, utils::event_id_set::EventIdSet};

const ROOMS: u64 = 2_000;

fn v2_room(seed: u64) -> Room {
    let versions = &RoomVersion::ALL[1..11];
    generator::room(versions[seed as usize % versions.len()], seed)
}

fn v2_1_room(seed: u64) -> Room {
    generator::room(RoomVersion::V12, seed)
}

fn rumas(room: &Room) -> Resolved {
    let room = RumaRoom::new(room);
    named(room.resolve(room.chains.clone()))
}

fn named(state: StateMap<OwnedEventId>) -> Resolved {
    state.into_iter().map(|((kind, state_key), id)| ((kind.to_string(), state_key), id.to_string())).collect()
}

fn compare(make: fn(u64) -> Room) {
    let mut unlike_newest = 0;
    for seed in 0..ROOMS {
        let room = make(seed);
        let ours = room.resolve(&room.entries(), None).unwrap();
        assert_eq!(ours, rumas(&room), "seed {seed}, version {}", room.version);
        unlike_newest += u64::from(ours != room.newest_wins());
    }
    println!("{unlike_newest} of {ROOMS} rooms would differ if the newest won");
    assert!(unlike_newest * 100 >= ROOMS * 30, "the rooms are too easy: {unlike_newest} of {ROOMS}");
}

#[test]
fn v2_agrees_with_ruma() {
    compare(v2_room);
}

#[test]
fn v2_1_agrees_with_ruma() {
    compare(v2_1_room);
}

/// The specification's words leave a state's own events out of its auth chain; the reference server counts them. In some
/// rooms that makes another state: ours is the reference server's there, so that no room splits.
#[test]
fn where_the_text_leads_elsewhere_ours_is_the_reference_servers_state() {
    let mut apart = 0;
    for seed in (0..ROOMS).filter(|seed| seed % 100 != 99) {
        for room in [v2_room(seed), v2_1_room(seed)] {
            let rumas = RumaRoom::new(&room);
            let by_the_text = named(rumas.resolve(by_the_text(&rumas)));
            let as_counted = named(rumas.resolve(rumas.chains.clone()));
            if by_the_text != as_counted {
                assert_eq!(room.resolve(&room.entries(), None).unwrap(), as_counted, "seed {seed}");
                apart += 1;
            }
        }
    }
    println!("{apart} rooms would be another by the text");
    assert!(apart >= 3, "the rooms tell the two apart too seldom: {apart}");
}

/// Auth chains by the specification's words: without the states' own events, unless one is behind another.
fn by_the_text(room: &RumaRoom) -> Vec<EventIdSet<OwnedEventId>> {
    let without_own = |chain: &EventIdSet<OwnedEventId>| {
        let behind: HashSet<&OwnedEventId> = chain.iter().flat_map(|id| room.events[id].auth_events()).collect();
        chain.iter().filter(|id| behind.contains(id)).cloned().collect()
    };
    room.chains.iter().map(without_own).collect()
}

/// The comparison above would fail with this mistake in our code.
fn is_caught(make: fn(u64) -> Room, fault: Fault) {
    let differs = |seed| {
        let room = make(seed);
        // A mistake may also be noticed by an error.
        room.resolve(&room.entries(), Some(fault)) != Ok(rumas(&room))
    };
    assert!((0..ROOMS).filter(|seed| seed % 100 != 99).any(differs), "{fault:?} was not noticed");
}

#[test]
fn planted_faults_are_caught() {
    for fault in [Fault::TieBreak, Fault::PowerOrder, Fault::Mainline, Fault::AuthDifference] {
        is_caught(v2_room, fault);
    }
    for fault in [Fault::TieBreak, Fault::PowerOrder, Fault::Mainline] {
        is_caught(v2_1_room, fault);
    }
}
