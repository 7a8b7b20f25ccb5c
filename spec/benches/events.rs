//! What one event costs: reading, checking, hashing and signing it; and verifying a thousand signatures.
//!
//! `cargo bench -p roost-spec --features server --bench events`

use std::{collections::HashMap, hint::black_box};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use roost_spec::{
    auth::{self, StateView},
    canonical_json::Object,
    event::{Draft, Pdu, Untrusted},
    room_version::{RoomRules, RoomVersion},
    signature::{Claim, KeyRing, PublishedKey, Signer, verify_all},
};

const ALICE: &str = "@alice:example.org";

/// A room of one user, as its state.
#[derive(Default)]
struct Room(HashMap<(String, String), Pdu>);

impl StateView for Room {
    fn event(&self, kind: &str, state_key: &str) -> Option<&Pdu> {
        self.0.get(&(kind.to_owned(), state_key.to_owned()))
    }
}

impl Room {
    fn new(rules: &'static RoomRules, signer: &Signer) -> Self {
        let mut room = Self::default();
        let state = [
            ("m.room.create", "", Object::from([("room_version", "12")])),
            ("m.room.member", ALICE, Object::from([("membership", "join")])),
            ("m.room.power_levels", "", Object::from([("users_default", 0_i64)])),
            ("m.room.join_rules", "", Object::from([("join_rule", "public")])),
        ];
        for (kind, state_key, content) in state {
            let room_id = room.event("m.room.create", "").map(|create| create.room_id().to_owned());
            let draft = Draft {
                room_id,
                kind: kind.into(),
                sender: ALICE.into(),
                state_key: Some(state_key.into()),
                content,
                ..Draft::default()
            };
            room.0.insert((kind.into(), state_key.into()), draft.sign(rules, signer).expect("a valid event"));
        }
        room
    }

    fn message(&self, number: i64) -> Draft {
        let create = self.event("m.room.create", "").expect("a room");
        Draft {
            room_id: Some(create.room_id().to_owned()),
            kind: "m.room.message".into(),
            sender: ALICE.into(),
            content: Object::from([("body", "The quick brown fox jumps over the lazy dog"), ("msgtype", "m.text")]),
            prev_events: vec![create.reference()],
            auth_events: self.0.values().take(2).map(Pdu::reference).collect(),
            depth: 5,
            origin_server_ts: number,
            ..Draft::default()
        }
    }
}

struct Keys(PublishedKey);

impl KeyRing for Keys {
    fn key(&self, _: &str, _: &str) -> Option<PublishedKey> {
        Some(self.0)
    }
}

fn events(c: &mut Criterion) {
    let rules = RoomVersion::V12.rules();
    let signer = Signer::new("example.org", "ed25519:1", &[1; 32]);
    let room = Room::new(rules, &signer);
    let draft = room.message(1);
    let event = draft.clone().sign(rules, &signer).expect("a valid event");
    let keys = Keys(PublishedKey { key: signer.verify_key(), valid_until_ts: Some(u64::MAX), expired_ts: None });

    c.bench_function("check", |b| b.iter(|| auth::check(rules, black_box(&event), &room)));
    c.bench_function("hash and sign", |b| b.iter(|| black_box(draft.clone()).sign(rules, &signer)));
    c.bench_function("sign alone", |b| b.iter(|| signer.sign(black_box(event.json().as_bytes()))));
    c.bench_function("read back", |b| {
        b.iter(|| Pdu::parse_trusted(rules, black_box(event.json()), Some(event.event_id())));
    });
    c.bench_function("receive", |b| {
        b.iter(|| Untrusted::parse(rules, black_box(event.json()).as_bytes()).map(|event| event.verify(&keys)));
    });
}

fn signatures(c: &mut Criterion) {
    let signers: Vec<_> = (0..10).map(|seed| Signer::new("example.org", "ed25519:1", &[seed; 32])).collect();
    let keys: Vec<_> = signers.iter().map(Signer::verify_key).collect();
    let signed: Vec<(usize, String, [u8; 64])> = (0..1_000)
        .map(|number| {
            let (signer, message) = (number % signers.len(), format!("message {number}"));
            (signer, message.clone(), signers[signer].sign_raw(message.as_bytes()))
        })
        .collect();
    let claims: Vec<_> = signed
        .iter()
        .map(|(signer, message, signature)| Claim { key: &keys[*signer], message: message.as_bytes(), signature })
        .collect();
    let mut group = c.benchmark_group("signatures");
    group.throughput(Throughput::Elements(1_000)).sample_size(20);
    group.bench_function("verify 1,000", |b| b.iter(|| verify_all(black_box(&claims))));
    group.finish();
}

criterion_group!(benches, events, signatures);
criterion_main!(benches);
