//! Push evaluation against `ruma-common`'s, over seeded events, rulesets and contexts.
//!
//! Left out, because there ruma and the specification differ: line breaks under a wildcard (ruma's `*` stops at them;
//! the appendix says any characters), wildcards in display names (ruma reads them as a glob; the specification speaks
//! of the name itself), and patterns over `content.body` that begin or end with a character that is no part of a word
//! (ruma then skips occurrences).

mod common;

use common::Random;
use roost_spec::{
    event::content::Levels,
    push::{CompiledRuleset, Context, FlatEvent, Ruleset, SenderPower},
};
use ruma_common::push::{PushConditionPowerLevelsCtx, PushConditionRoomCtx, Ruleset as RumaRuleset};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    future::Future,
    pin::pin,
    task::{Context as TaskContext, Poll, Waker},
};

const ALICE: &str = "@alice:example.org";
const ROOM: &str = "!room:example.org";
const USERS: [&str; 4] = [ALICE, "@bob:example.org", "@carol:example.org", "@Alice:example.org"];
const WORDS: [&str; 12] =
    ["cake", "Cake", "pancake", "tea", "time", "ALICE", "über", "a_b", "x", "tea-time", "Größe", "日本"];
const GLUE: [&str; 6] = [" ", "", "-", "_", ", ", "!"];
const PATTERNS: [&str; 16] = [
    "cake", "c?ke", "c*e", "*cake", "cake*", "t*e", "tea", "*", "?", "über", "?ber", "a_b", "tea*time", "alice", "日?",
    "x",
];
const TYPES: [&str; 9] = [
    "m.room.message",
    "m.room.encrypted",
    "m.room.member",
    "m.room.tombstone",
    "m.reaction",
    "m.room.server_acl",
    "m.call.invite",
    "m.room.topic",
    "org.example.thing",
];
const KEYS: [&str; 13] = [
    "type",
    "sender",
    "room_id",
    "state_key",
    "content.body",
    "content.msgtype",
    "content.membership",
    r"content.m\.mentions.user_ids",
    r"content.m\.mentions.room",
    r"content.m\.relates_to.rel_type",
    "content.n",
    r"content.a\\b\.c",
    "content",
];

/// ruma's evaluation never waits for anything here.
fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut TaskContext::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("ruma waits"),
    }
}

fn text(random: &mut Random) -> String {
    (0..random.below(5)).map(|_| format!("{}{}", random.pick(&WORDS), random.pick(&GLUE))).collect()
}

fn scalar(random: &mut Random) -> Value {
    match random.below(6) {
        0 => Value::Null,
        1 => json!(true),
        2 => json!(random.below(3)),
        3 => json!(ALICE),
        4 => json!("m.replace"),
        _ => json!(*random.pick(&USERS)),
    }
}

fn event(random: &mut Random) -> Value {
    let mut content = json!({});
    let fields: [(&str, Value); 7] = [
        ("body", json!(text(random))),
        ("msgtype", json!(*random.pick(&["m.text", "m.notice", "m.Notice"]))),
        ("membership", json!(*random.pick(&["invite", "join"]))),
        ("m.mentions", json!({"user_ids": [scalar(random), scalar(random), {}], "room": scalar(random)})),
        ("m.relates_to", json!({"rel_type": *random.pick(&["m.replace", "m.thread"])})),
        ("n", scalar(random)),
        ("a\\b.c", scalar(random)),
    ];
    for (key, value) in fields {
        if random.chance(40) {
            content[key] = value;
        }
    }
    let mut event = json!({"type": random.pick(&TYPES), "sender": random.pick(&USERS), "content": content});
    if random.chance(40) {
        event["state_key"] = json!(*random.pick(&["", ALICE, "@bob:example.org"]));
    }
    event
}

fn condition(random: &mut Random) -> Value {
    let key = *random.pick(&KEYS);
    match random.below(8) {
        0..=2 => json!({"kind": "event_match", "key": key, "pattern": random.pick(&PATTERNS)}),
        3 => json!({"kind": "event_property_is", "key": key, "value": scalar(random)}),
        4 => json!({"kind": "event_property_contains", "key": key, "value": scalar(random)}),
        5 => json!({"kind": "room_member_count", "is": random.pick(&["2", "==3", "<3", ">2", "<=3", ">=4"])}),
        6 => json!({"kind": "sender_notification_permission", "key": random.pick(&["room", "org.example"])}),
        _ => json!({"kind": random.pick(&["contains_display_name", "org.example.unknown"])}),
    }
}

fn actions(random: &mut Random) -> Value {
    json!(["notify", {"set_tweak": "sound", "value": format!("s{}", random.below(1_000_000))}])
}

/// The defaults with a few of the user's own rules, as JSON that both sides read.
fn ruleset(random: &mut Random) -> Value {
    let mut ruleset = serde_json::to_value(Ruleset::server_default(ALICE)).unwrap();
    for kind in ["override", "underride", "content", "room", "sender"] {
        for number in 0..random.below(3) {
            let mut rule = json!({
                "rule_id": format!("rule{number}"), "default": false, "enabled": random.chance(80),
                "actions": actions(random),
            });
            match kind {
                "content" => rule["pattern"] = json!(random.pick(&PATTERNS)),
                "room" => rule["rule_id"] = json!(["!other:example.org", ROOM][number]),
                "sender" => rule["rule_id"] = json!(USERS[number + 1]),
                _ => {
                    rule["conditions"] = json!((0..1 + random.below(2)).map(|_| condition(random)).collect::<Vec<_>>());
                }
            }
            let rules = ruleset[kind].as_array_mut().unwrap();
            rules.insert(usize::from(kind == "override"), rule);
        }
        for rule in ruleset[kind].as_array_mut().unwrap() {
            if random.chance(5) {
                rule["enabled"] = json!(!rule["enabled"].as_bool().unwrap());
            }
        }
    }
    ruleset
}

#[test]
fn evaluation_agrees_with_ruma() {
    let mut matched = 0;
    for seed in 0..30_000 {
        let random = &mut Random::new(seed);
        let (event, rules) = (event(random), ruleset(random));
        let name = *random.pick(&["Alice", "cake", "tea-time", "Größe"]);
        let member_count = 2 + random.below(3) as u64;
        let (level, room_level) = (random.below(3) as i64 * 50, random.below(3) as i64 * 50);

        let levels = Levels::from_iter([("room", room_level)]);
        let power = Some(SenderPower { level, notifications: Some(&levels) });
        let context =
            Context { user_id: ALICE, display_name: Some(name), member_count, power, mentions_in_body: false };
        let ours = CompiledRuleset::new(&serde_json::from_value(rules.clone()).unwrap(), ALICE);
        let ours = ours.evaluate(&FlatEvent::new(event.as_object().unwrap(), ROOM), &context).to_vec();

        let mut notifications = ruma_common::power_levels::NotificationPowerLevels::new();
        notifications.room = (room_level as i32).into();
        let power = PushConditionPowerLevelsCtx::new(
            BTreeMap::new(),
            (level as i32).into(),
            notifications,
            ruma_common::room_version_rules::RoomPowerLevelsRules::new(
                &ruma_common::room_version_rules::AuthorizationRules::V11,
                None,
            ),
        );
        let context = PushConditionRoomCtx::new(
            ROOM.try_into().unwrap(),
            (member_count as u32).into(),
            ALICE.try_into().unwrap(),
            name.to_owned(),
        )
        .with_power_levels(power);
        let theirs: RumaRuleset = serde_json::from_value(rules.clone()).unwrap();
        let raw = ruma_common::serde::Raw::<Value>::from_json_string(event.to_string()).unwrap();
        let theirs = now(theirs.get_actions(&raw, &context)).to_vec();

        matched += usize::from(!ours.is_empty());
        assert_eq!(
            serde_json::to_value(ours).unwrap(),
            serde_json::to_value(theirs).unwrap(),
            "seed {seed}\n{event}\n{rules:#}"
        );
    }
    assert!(matched > 8_000, "the cases are no good: {matched} matches");
}

#[test]
fn the_predefined_rules_are_rumas() {
    let ours = serde_json::to_value(Ruleset::server_default(ALICE)).unwrap();
    let theirs = serde_json::to_value(RumaRuleset::server_default(ALICE.try_into().unwrap())).unwrap();
    for kind in ["override", "underride"] {
        assert_eq!(ours[kind], theirs[kind]);
    }
}
