//! Replays the fuzz bodies over the committed corpus, so that what fuzzing once found stays fixed on stable Rust.

use std::{fs, path::Path};

fn replay(target: &str, body: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut inputs = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let seed = fs::read(entry.unwrap().path()).unwrap();
        body(&seed);
        // Every other prefix, and every other byte replaced: cheap neighbours of each input.
        for index in (0..seed.len()).step_by(2) {
            body(&seed[..index]);
            for byte in [b'"', b'9', seed[index] ^ 1] {
                let mut near = seed.clone();
                near[index] = byte;
                body(&near);
            }
            inputs += 4;
        }
    }
    assert!(inputs > 500, "the corpus of {target} is missing");
}

#[test]
fn canonical_json() {
    replay("canonical_json", roost_spec::fuzz::canonical_json);
}

#[test]
fn event() {
    replay("event", roost_spec::fuzz::event);
}

#[test]
fn authorization() {
    replay("authorization", roost_spec::fuzz::authorization);
}
