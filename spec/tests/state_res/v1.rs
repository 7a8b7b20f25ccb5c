//! v1 against Synapse's own code.

use crate::{generator, synapse::Synapse};
use roost_spec::{room_version::RoomVersion, state_res::Fault};

const ROOMS: u64 = 2_000;

#[test]
fn v1_agrees_with_synapse_and_a_planted_fault_is_caught() {
    let mut synapse = Synapse::start();
    let (mut unlike_newest, mut unlike_faulty) = (0, 0);
    for seed in 0..ROOMS {
        let room = generator::room(RoomVersion::V1, seed);
        let ours = room.resolve(&room.entries(), None).unwrap();
        let theirs = synapse.resolve(&room);
        assert_eq!(ours, theirs, "seed {seed}");
        unlike_newest += u64::from(ours != room.newest_wins());
        unlike_faulty += u64::from(room.resolve(&room.entries(), Some(Fault::Depth)) != Ok(theirs));
    }
    println!("{unlike_newest} of {ROOMS} rooms would differ if the newest won, {unlike_faulty} without depth");
    assert!(unlike_newest * 100 >= ROOMS * 30, "the rooms are too easy: {unlike_newest} of {ROOMS}");
    assert!(unlike_faulty > 0, "leaving the depth out was not noticed");
}
