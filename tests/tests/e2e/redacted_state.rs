//! What was redacted is gone from all that is told of a room, on every node.

use std::time::Duration;

use roost_tests::{
    http::{Server, seg, text},
    shared,
    sync::{find, joined, list},
    turn,
    user::{User, at},
};
use serde_json::{Value, json};

/// The ID of a room's state event.
async fn state_event(user: &User, room: &str, kind: &str, key: &str) -> String {
    let state = list(&user.get(&at(room, "state")).await.ok());
    text(&find(&state, kind, Some(key)).expect("a state event")["event_id"])
}

/// Another node hears a moment later.
async fn becomes<F: Future<Output = Value>>(expected: &Value, now: impl Fn() -> F) {
    let mut last = Value::Null;
    for _ in 0..100 {
        last = now().await;
        if last == *expected {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(last, *expected);
}

/// A room as the directory, the hierarchy and the summary show it, as far as redactions change it.
async fn cards(user: &User, room: &str) -> Value {
    let listed = user.post("publicRooms", json!({ "filter": { "generic_search_term": room } })).await.ok();
    let tree = user.get(&format!("/_matrix/client/v1/rooms/{}/hierarchy", seg(room))).await.ok();
    let summary = user.get(&format!("/_matrix/client/v1/room_summary/{}", seg(room))).await.ok();
    let fields = ["name", "topic", "avatar_url", "canonical_alias", "guest_can_join"];
    let of = |card: &Value| fields.iter().map(|field| card[*field].clone()).collect::<Vec<_>>();
    assert_eq!(tree["rooms"][0]["encryption"], summary["encryption"]);
    json!([of(&listed["chunk"][0]), of(&tree["rooms"][0]), of(&summary), summary["encryption"]])
}

async fn a_card_forgets(writer: &Server, reader: &Server) {
    let alice = writer.user("alice").await;
    let there = alice.on(reader);
    let room =
        alice.create_room(json!({ "preset": "public_chat", "visibility": "public", "name": "N", "topic": "T" })).await;
    let alias = format!("#{}:localhost", &room[1..].replace(':', "-"));
    let _ = alice.put(&format!("directory/room/{}", seg(&alias)), json!({ "room_id": room })).await.ok();
    for (kind, content) in [
        ("m.room.avatar", json!({ "url": "mxc://localhost/a" })),
        ("m.room.canonical_alias", json!({ "alias": alias })),
        ("m.room.guest_access", json!({ "guest_access": "can_join" })),
        ("m.room.encryption", json!({ "algorithm": "m.megolm.v1.aes-sha2" })),
    ] {
        let _ = alice.set_state(&room, kind, "", content).await.ok();
    }
    let mut card = json!(["N", "T", "mxc://localhost/a", alias, true]);
    let mut encryption = json!("m.megolm.v1.aes-sha2");
    becomes(&json!([card, card, card, encryption]), || cards(&there, &room)).await;
    for (kind, field, gone) in [
        ("m.room.name", Some(0), Value::Null),
        ("m.room.topic", Some(1), Value::Null),
        ("m.room.avatar", Some(2), Value::Null),
        ("m.room.canonical_alias", Some(3), Value::Null),
        ("m.room.guest_access", Some(4), json!(false)),
        ("m.room.encryption", None, Value::Null),
    ] {
        alice.redact(&room, &state_event(&alice, &room, kind, "").await).await;
        match field {
            Some(field) => card[field] = gone,
            None => encryption = gone,
        }
        becomes(&json!([card, card, card, encryption]), || cards(&there, &room)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_redacted_is_on_no_card() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    a_card_forgets(&server, &server).await;
    let (one, two) = shared::nodes().await;
    a_card_forgets(&one, &two).await;
    a_card_forgets(&two, &one).await;
}

/// How many loud events a user has not read.
async fn loud(user: &User, room: &str) -> Value {
    user.start_over();
    joined(&user.sync().await, room)["unread_notifications"]["highlight_count"].clone()
}

async fn rules_forget(writer: &Server, speaker: &Server) {
    let (alice, bob, carol) = (writer.user("alice").await, writer.user("bob").await, writer.user("carol").await);
    let room = alice.public_room("loud").await;
    bob.join(&room).await;
    carol.join(&room).await;
    let bob = bob.on(speaker);
    let mut levels = alice.state(&room, "m.room.power_levels", "").await.ok();
    levels["notifications"] = json!({ "room": 0 });
    let levels = text(&alice.set_state(&room, "m.room.power_levels", "", levels).await.ok()["event_id"]);
    let name = json!({ "membership": "join", "displayname": "Zebra" });
    let named = text(&carol.set_state(&room, "m.room.member", &carol.id, name).await.ok()["event_id"]);

    let to_all = json!({ "msgtype": "m.text", "body": "all", "m.mentions": { "room": true } });
    let to_her = json!({ "msgtype": "m.text", "body": "look, a zebra" });
    // Until the speaker's node has heard of both.
    for _ in 0..100 {
        let _ = bob.event(&room, &levels).await;
        if bob.event(&room, &named).await.status == 200 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    bob.send(&room, "m.room.message", to_all.clone()).await;
    becomes(&json!(1), || loud(&carol, &room)).await;
    bob.send(&room, "m.room.message", to_her.clone()).await;
    becomes(&json!(2), || loud(&carol, &room)).await;

    // Whoever may speak to all must have 50 again, and nobody is called Zebra any more.
    alice.redact(&room, &levels).await;
    carol.redact(&room, &named).await;
    for _ in 0..100 {
        if bob.event(&room, &named).await.ok()["unsigned"]["redacted_because"].is_object() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    bob.send(&room, "m.room.message", to_all).await;
    bob.send(&room, "m.room.message", to_her).await;
    let last =
        bob.send(&room, "m.room.message", json!({ "body": "named", "m.mentions": { "user_ids": [carol.id] } })).await;
    carol.start_over();
    carol.wait_for_event(&room, &last).await;
    // With her redaction she has read what stands before it; of what came after only her name is loud.
    assert_eq!(loud(&carol, &room).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_redacted_decides_nothing() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    rules_forget(&server, &server).await;
    let (one, two) = shared::nodes().await;
    rules_forget(&one, &two).await;
    rules_forget(&two, &one).await;
}
