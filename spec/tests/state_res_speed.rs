//! Resolution of a 10,000-member room is at least ten times as fast as `ruma-state-res`: the same parsed events, states
//! and auth chains, one thread, the median of ten, our interning and reading of contents inside the measured part.
//!
//! In a file of its own, so that nothing else runs beside it.

#[path = "common/mod.rs"]
mod common;
#[path = "state_res/large.rs"]
mod large;
#[path = "state_res/room.rs"]
mod room;
#[path = "state_res/ruma.rs"]
mod ruma;

use large::Input;
use nix::time::{ClockId, clock_gettime};
use roost_spec::{room_version::RoomVersion, state_res::resolve};
use ruma::RumaRoom;
use std::{
    collections::{BTreeMap, HashSet},
    hint::black_box,
    time::Duration,
};

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    (times[times.len() / 2 - 1] + times[times.len() / 2]) / 2
}

/// The processor time of this thread, so that other work on the machine does not count.
fn timed<T>(run: impl FnOnce() -> T) -> Duration {
    let clock = || Duration::from(clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap());
    let start = clock();
    let result = run();
    let took = clock() - start;
    black_box(result);
    took
}

#[test]
fn ten_times_as_fast_as_ruma() {
    for (version, forks) in
        [RoomVersion::V11, RoomVersion::V12].into_iter().flat_map(|version| [2, 5, 20].map(|forks| (version, forks)))
    {
        let room = large::room(version, forks);
        let ruma = RumaRoom::new(&room);
        let chains: Vec<HashSet<String>> =
            ruma.chains.iter().map(|chain| chain.iter().map(ToString::to_string).collect()).collect();

        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..10 {
            // All is made ready before either runs, so that neither finds more of its input in the processor's cache.
            let (input, chains) = (Input::new(&room, &chains), ruma.chains.clone());
            ours.push(timed(|| resolve(room.rules(), &input.states, &input).unwrap()));
            theirs.push(timed(|| ruma.resolve(chains)));
        }
        let (ours, theirs) = (median(ours), median(theirs));
        let factor = theirs.as_secs_f64() / ours.as_secs_f64();
        println!("version {version}, {forks} forks: {ours:?}, ruma {theirs:?}: {factor:.1} times");

        let input = Input::new(&room, &chains);
        let resolved = resolve(room.rules(), &input.states, &input).unwrap();
        let ours: BTreeMap<_, _> =
            resolved.iter().map(|entry| ((entry.kind, entry.state_key), entry.event_id)).collect();
        let result = ruma.resolve(ruma.chains.clone());
        let kinds: Vec<_> =
            result.iter().map(|((kind, key), id)| (kind.to_string(), key.as_str(), id.as_str())).collect();
        assert_eq!(ours, kinds.iter().map(|(kind, key, id)| ((kind.as_str(), *key), *id)).collect());
        assert!(factor >= 10.0, "version {version}, {forks} forks: only {factor:.1} times as fast");
    }
}
