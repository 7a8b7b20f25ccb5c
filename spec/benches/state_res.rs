//! State resolution of a 10,000-member room with 2, 5 and 20 forks, ours and `ruma-state-res`.

#[path = "../tests/common/mod.rs"]
mod common;
#[path = "../tests/state_res/large.rs"]
mod large;
#[path = "../tests/state_res/room.rs"]
mod room;
#[path = "../tests/state_res/ruma.rs"]
mod ruma;

use criterion::{BatchSize, BenchmarkId, Criterion};
use large::Input;
use roost_spec::{room_version::RoomVersion, state_res::resolve};
use ruma::RumaRoom;
use std::{collections::HashSet, time::Duration};

fn main() {
    let mut criterion = Criterion::default().configure_from_args().sample_size(10);
    for version in [RoomVersion::V11, RoomVersion::V12] {
        let mut group = criterion.benchmark_group(format!("state_res/version {version}"));
        group.warm_up_time(Duration::from_secs(1));
        for forks in [2, 5, 20] {
            let room = large::room(version, forks);
            let ruma = RumaRoom::new(&room);
            let chains: Vec<HashSet<String>> =
                ruma.chains.iter().map(|chain| chain.iter().map(ToString::to_string).collect()).collect();
            group.bench_with_input(BenchmarkId::new("roost", forks), &room, |bench, room| {
                bench.iter_batched_ref(
                    || Input::new(room, &chains),
                    |input| resolve(room.rules(), &input.states, input).unwrap().decided().len(),
                    BatchSize::PerIteration,
                );
            });
            group.bench_with_input(BenchmarkId::new("ruma", forks), &ruma, |bench, ruma| {
                bench.iter_batched(|| ruma.chains.clone(), |chains| ruma.resolve(chains), BatchSize::PerIteration);
            });
        }
        group.finish();
    }
    criterion.final_summary();
}
