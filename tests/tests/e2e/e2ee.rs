//! What encryption needs from the server, over two nodes.

use std::collections::BTreeSet;

use roost_tests::{
    http::{seg, text},
    keys::{CrossSigning, DeviceKeys},
    shared,
    sync::{find, limit, list, state, strings, timeline, to_device},
    turn,
    user::{User, at, txn},
};
use serde_json::{Value, json};

/// Publishes a device's identity with some one-time keys.
async fn publish(user: &User, one_time: usize) -> DeviceKeys {
    let mut keys = DeviceKeys::new(user);
    let body = json!({ "device_keys": keys.identity(), "one_time_keys": keys.one_time_keys(one_time) });
    let counts = user.post("keys/upload", body).await.ok();
    assert_eq!(counts["one_time_key_counts"]["signed_curve25519"].as_u64().unwrap_or_default(), one_time as u64);
    keys
}

/// A claim of one key of `whom`; its key id, or nothing.
async fn claim(user: &User, whom: &User) -> Option<(String, Value)> {
    let ask = json!({ "one_time_keys": { &whom.id: { &whom.device: "signed_curve25519" } } });
    let answer = user.post("keys/claim", ask).await.ok();
    let keys = answer["one_time_keys"][&whom.id][&whom.device].as_object()?.clone();
    assert!(keys.len() <= 1, "{answer}");
    keys.into_iter().next()
}

async fn query(user: &User, whom: &User) -> Value {
    user.post("keys/query", json!({ "device_keys": { &whom.id: [] } })).await.ok()
}

fn changed(sync: &Value) -> Vec<String> {
    strings(&sync["device_lists"]["changed"])
}

#[tokio::test(flavor = "multi_thread")]
async fn an_identity_that_nobody_signed_is_kept_and_shown() {
    let _turn = turn::shared().await;
    let (one, two) = shared::nodes().await;
    let (alice, bob) = (one.user("alice").await, two.user("bob").await);
    let mut identity = DeviceKeys::new(&alice).identity();
    identity["signatures"] = json!({});
    let _ = alice.post("keys/upload", json!({ "device_keys": identity })).await.ok();
    let seen = query(&bob, &alice).await;
    assert_eq!(seen["device_keys"][&alice.id][&alice.device]["keys"], identity["keys"]);

    identity["signatures"] = json!([]);
    alice.post("keys/upload", json!({ "device_keys": identity })).await.is(400, "M_BAD_JSON");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_one_time_key_is_given_once() {
    let _turn = turn::shared().await;
    let (one, two) = shared::nodes().await;
    let (alice, bob) = (one.user("alice").await, two.user("bob").await);
    publish(&alice, 60).await;
    let sides = [bob.on(&one), bob.on(&two)];

    // 80 claims at once, through both nodes, for 60 keys.
    let claims = (0..80).map(|n| claim(&sides[n % 2], &alice));
    let given: Vec<_> = futures::future::join_all(claims).await.into_iter().flatten().map(|(id, _)| id).collect();

    assert_eq!(given.len(), 60);
    assert_eq!(given.iter().collect::<BTreeSet<_>>().len(), 60, "a key was given twice");
    assert_eq!(claim(&sides[0], &alice).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_repeated_during_claims_brings_no_key_back() {
    let _turn = turn::shared().await;
    let (one, two) = shared::nodes().await;
    let (alice, bob) = (one.user("alice").await, two.user("bob").await);
    let mut keys = DeviceKeys::new(&alice);
    let upload = json!({ "device_keys": keys.identity(), "one_time_keys": keys.one_time_keys(40) });
    let _ = alice.post("keys/upload", upload.clone()).await.ok();
    let sides = [(alice.on(&one), bob.on(&one)), (alice.on(&two), bob.on(&two))];

    let repeats = (0..60).map(|n| sides[n % 2].0.post("keys/upload", upload.clone()));
    let claims = (0..60).map(|n| claim(&sides[n % 2].1, &alice));
    let (repeated, given) = tokio::join!(futures::future::join_all(repeats), futures::future::join_all(claims));
    repeated.into_iter().for_each(|reply| drop(reply.ok()));
    let given: Vec<_> = given.into_iter().flatten().map(|(id, _)| id).collect();
    assert_eq!(given.iter().collect::<BTreeSet<_>>().len(), 40, "{given:?}");
    assert_eq!(given.len(), 40, "a key was given twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fallback_key_serves_when_the_others_are_gone() {
    let _turn = turn::shared().await;
    let (one, two) = shared::nodes().await;
    let (alice, bob) = (one.user("alice").await, two.user("bob").await);
    let mut keys = publish(&alice, 1).await;
    let _ = alice.post("keys/upload", json!({ "fallback_keys": keys.fallback_key() })).await.ok();
    assert_eq!(strings(&alice.sync().await["device_unused_fallback_key_types"]), ["signed_curve25519"]);

    let once = claim(&bob, &alice).await.expect("a one-time key");
    assert_ne!(once.1["fallback"], true);
    let fallback = claim(&bob, &alice).await.expect("the fallback key");
    assert_eq!(fallback.1["fallback"], true);
    assert_eq!(claim(&bob, &alice).await.expect("the fallback key again").0, fallback.0);

    alice
        .wait_for("that the fallback key was used", |sync| {
            let types = &sync["device_unused_fallback_key_types"];
            (types.is_array() && strings(types).is_empty()).then_some(())
        })
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_id_cannot_be_given_other_bytes() {
    let _turn = turn::shared().await;
    let (one, two) = shared::nodes().await;
    let alice = one.user("alice").await;
    let mut keys = DeviceKeys::new(&alice);
    let first = keys.one_time_keys(1);
    let id = first.as_object().and_then(|it| it.keys().next()).expect("a key").clone();
    let mut other = serde_json::Map::new();
    other.insert(id, keys.one_time_keys(1).as_object().and_then(|it| it.values().next()).expect("a key").clone());
    let upload = json!({ "device_keys": keys.identity(), "one_time_keys": first });
    let _ = alice.post("keys/upload", upload.clone()).await.ok();

    // The same again is no error: the answer may have been lost.
    let bob = two.user("bob").await;
    for left in [1, 0] {
        let again = alice.on(&two).post("keys/upload", upload.clone()).await.ok();
        assert_eq!(again["one_time_key_counts"]["signed_curve25519"], left);
        let reply = alice.on(&two).post("keys/upload", json!({ "one_time_keys": other })).await;
        assert_eq!(reply.status, 400, "{}", reply.text());
        let words = text(&reply.body["error"]);
        assert!(words.starts_with("One time key ") && words.contains("already exists"), "{words}");
        // Given out, it stays taken, and is not given out again.
        assert_eq!(claim(&bob, &alice).await.is_some(), left == 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_on_any_node_sees_what_a_sync_announced() {
    let _turn = turn::shared().await;
    let (one, two) = shared::nodes().await;
    let (alice, bob) = (one.user("alice").await, two.user("bob").await);
    let room = alice.public_room("a room").await;
    bob.join(&room).await;
    // He hears of it on her node first, and asks the other, which has her older keys in memory.
    let listeners = [&bob, &bob.on(&one)];
    bob.sync().await;
    listeners[1].sync().await;

    for round in 0..20 {
        let device = alice.new_device().await;
        let hears = listeners[round % 2];
        let news = hears.wait_for("news of her device", |sync| changed(sync).contains(&alice.id).then_some(()));
        let (keys, ()) = tokio::join!(publish(&device, 0), news);
        for node in [&*two, &*one] {
            let answer = query(&bob.on(node), &alice).await;
            let shown = &answer["device_keys"][&alice.id][&device.device];
            assert_eq!(shown["keys"], keys.identity()["keys"], "round {round}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_is_announced_no_later_than_its_first_to_device_message() {
    let _turn = turn::shared().await;
    let (one, two) = shared::nodes().await;
    let (alice, bob) = (one.user("alice").await, two.user("bob").await);
    let room = alice.public_room("a room").await;
    bob.join(&room).await;
    bob.sync().await;

    for round in 0..10 {
        let device = alice.new_device().await;
        // Keys by one node, the message by the other, at once.
        publish(&device, 0).await;
        let side = device.on(if round % 2 == 0 { &two } else { &one });
        side.to_device(&bob, "org.example.first", json!({ "round": round })).await;

        let mut announced = false;
        bob.wait_for("the message", |sync| {
            announced |= changed(sync).contains(&alice.id);
            let came = to_device(sync).iter().any(|it| it["content"]["round"] == round);
            assert!(!came || announced, "round {round}: the message came before the device: {sync}");
            came.then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn device_lists_follow_shared_rooms() {
    let _turn = turn::shared().await;
    let (one, two) = shared::nodes().await;
    let (alice, bob) = (one.user("alice").await, two.user("bob").await);
    publish(&alice, 0).await;
    bob.sync().await;
    let room = bob.public_room("a room").await;
    bob.sync().await;
    let start = bob.since().expect("a token");

    alice.join(&room).await;
    bob.wait_for("her joining", |sync| changed(sync).contains(&alice.id).then_some(())).await;
    let middle = bob.since().expect("a token");
    let changes = |from: &str, to: &str| format!("keys/changes?from={}&to={}", seg(from), seg(to));
    let between = bob.get(&changes(&start, &middle)).await.ok();
    assert!(strings(&between["changed"]).contains(&alice.id), "{between}");

    alice.leave(&room).await;
    bob.wait_for("her leaving", |sync| strings(&sync["device_lists"]["left"]).contains(&alice.id).then_some(())).await;
    let later = bob.get(&changes(&middle, &bob.since().expect("a token"))).await.ok();
    assert!(strings(&later["left"]).contains(&alice.id), "{later}");
    // Strangers' devices are none of his business.
    publish(&alice.new_device().await, 0).await;
    let quiet = bob.sync_with("timeout=700").await;
    assert!(!changed(&quiet).contains(&alice.id), "{quiet}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_device_takes_its_keys_along() {
    let _turn = turn::shared().await;
    let (one, two) = shared::nodes().await;
    let (alice, bob) = (one.user("alice").await, two.user("bob").await);
    let room = alice.public_room("a room").await;
    bob.join(&room).await;
    let device = alice.new_device().await;
    publish(&device, 3).await;
    bob.sync().await;

    device.logout().await;

    bob.wait_for("news of her device", |sync| changed(sync).contains(&alice.id).then_some(())).await;
    let answer = query(&bob, &alice).await;
    assert!(answer["device_keys"][&alice.id][&device.device].is_null(), "{answer}");
    assert_eq!(claim(&bob, &device).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn to_device_messages_go_only_on_the_next_token() {
    let _turn = turn::shared().await;
    let (one, two) = shared::nodes().await;
    let (alice, bob) = (one.user("alice").await, two.user("bob").await);
    bob.sync().await;
    for n in 0..3 {
        alice.to_device(&bob, "org.example.note", json!({ "n": n })).await;
    }
    let notes = |sync: &Value| -> Vec<Value> { to_device(sync).iter().map(|it| it["content"]["n"].clone()).collect() };
    let before = bob.since();

    // The answer is lost on its way, three times, on either node.
    for node in [&*one, &*two, &*one] {
        let again = bob.on(node);
        again.rewind(before.clone());
        let sync = again.sync_with("timeout=2000").await;
        assert_eq!(notes(&sync), [json!(0), json!(1), json!(2)]);
        assert_eq!(to_device(&sync)[0]["sender"], alice.id);
        bob.rewind(again.since());
    }
    let next = bob.sync_with("timeout=300").await;
    assert_eq!(notes(&next), Vec::<Value>::new());
    // Now they are gone for good, even for the old token.
    let old = bob.on(&one);
    old.rewind(before);
    assert_eq!(notes(&old.sync().await), Vec::<Value>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn send_to_device_is_idempotent() {
    let _turn = turn::shared().await;
    let (one, two) = shared::nodes().await;
    let (alice, bob) = (one.user("alice").await, two.user("bob").await);
    bob.sync().await;
    let id = txn();
    let sides = [alice.on(&one), alice.on(&two)];

    let sends = (0..8).map(|n| sides[n % 2].to_device_as(&id, &bob, "org.example.once", json!({ "n": 1 })));
    futures::future::join_all(sends).await;
    alice.to_device(&bob, "org.example.last", json!({})).await;

    let mut all = Vec::new();
    bob.wait_for("the last message", |sync| {
        all.extend(to_device(sync));
        find(&all, "org.example.last", None).map(|_| ())
    })
    .await;
    assert_eq!(all.iter().filter(|it| it["type"] == "org.example.once").count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_star_reaches_every_device_and_many_messages_come_in_order() {
    let _turn = turn::shared().await;
    let (one, two) = shared::nodes().await;
    let (alice, phone) = (one.user("alice").await, two.user("bob").await);
    let laptop = phone.new_device().await;
    phone.sync().await;
    laptop.sync().await;

    for n in 0..150 {
        let path = format!("sendToDevice/org.example.star/{}", txn());
        let _ = alice.put(&path, json!({ "messages": { &phone.id: { "*": { "n": n } } } })).await.ok();
    }

    for device in [&phone, &laptop] {
        let mut got = Vec::new();
        device
            .wait_for("all messages", |sync| {
                let some = to_device(sync);
                assert!(some.len() <= 100, "{} to-device messages in one sync", some.len());
                got.extend(some.iter().map(|it| it["content"]["n"].as_u64().expect("a number")));
                (got.len() >= 150).then_some(())
            })
            .await;
        assert_eq!(got, (0..150).collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_of_one_time_keys_come_with_every_sync_that_changes_them() {
    let _turn = turn::shared().await;
    let (one, two) = shared::nodes().await;
    let (alice, bob) = (one.user("alice").await, two.user("bob").await);
    publish(&alice, 5).await;
    let count = |sync: &Value| sync["device_one_time_keys_count"]["signed_curve25519"].as_u64();
    assert_eq!(count(&alice.sync().await), Some(5));

    claim(&bob, &alice).await.expect("a key");
    claim(&bob, &alice).await.expect("a key");

    alice.wait_for("the new count", |sync| count(sync).filter(|it| *it == 3)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_knows_that_a_room_is_encrypted_before_it_may_send() {
    let _turn = turn::shared().await;
    let (one, two) = shared::nodes().await;
    let (alice, bob) = (one.user("alice").await, two.user("bob").await);
    let encryption = json!({ "type": "m.room.encryption", "content": { "algorithm": "m.megolm.v1.aes-sha2" } });
    let lazy = seg(r#"{"room":{"state":{"lazy_load_members":true},"timeline":{"limit":1}}}"#);
    bob.sync().await;

    for round in 0..6 {
        let room = alice.create_room(json!({ "preset": "public_chat", "initial_state": [encryption] })).await;
        for n in 0..3 {
            alice.say(&room, &n.to_string()).await;
        }
        bob.on(if round % 2 == 0 { &one } else { &two }).join(&room).await;
        // The first sync that shows the room must show all of it; either form of state.
        let query = format!("timeout=2000&filter={lazy}&use_state_after={}", round % 2 == 0);
        let all = first_sight(&bob, &room, &query).await;
        assert!(find(&all, "m.room.encryption", Some("")).is_some(), "round {round}");
        assert!(find(&all, "m.room.history_visibility", Some("")).is_some(), "round {round}");
        assert!(find(&all, "m.room.member", Some(&bob.id)).is_some(), "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn encryption_that_begins_in_a_gap_is_not_missed() {
    let _turn = turn::shared().await;
    let (one, two) = shared::nodes().await;
    let (alice, bob) = (one.user("alice").await, two.user("bob").await);
    let room = alice.public_room("a room").await;
    bob.join(&room).await;
    bob.sync().await;

    let content = json!({ "algorithm": "m.megolm.v1.aes-sha2" });
    let _ = alice.set_state(&room, "m.room.encryption", "", content).await.ok();
    for n in 0..12 {
        alice.say(&room, &n.to_string()).await;
    }

    let sync = bob.sync_with(&format!("timeout=2000&filter={}", limit(2))).await;
    assert!(find(&state(&sync, &room), "m.room.encryption", Some("")).is_some(), "{sync}");
}

#[tokio::test(flavor = "multi_thread")]
async fn cross_signing_keys_are_published_and_signed() {
    let _turn = turn::shared().await;
    let (one, two) = shared::nodes().await;
    let (alice, bob) = (one.user("alice").await, two.user("bob").await);
    let room = alice.public_room("a room").await;
    bob.join(&room).await;
    let device = publish(&alice, 0).await;
    let identity = CrossSigning::new(&alice);
    bob.sync().await;

    // The first upload asks for no password; neither does the same again.
    let path = "keys/device_signing/upload";
    for _ in 0..2 {
        let _ = alice.post(path, identity.upload()).await.ok();
    }
    let signed = identity.sign_device(device.identity());
    let upload = json!({ &alice.id: { &alice.device: signed } });
    let failures = alice.post("keys/signatures/upload", upload).await.ok();
    assert!(failures["failures"].as_object().is_none_or(serde_json::Map::is_empty), "{failures}");

    bob.wait_for("news of her keys", |sync| changed(sync).contains(&alice.id).then_some(())).await;
    let seen = query(&bob, &alice).await;
    assert!(seen["master_keys"][&alice.id]["keys"][format!("ed25519:{}", identity.master_id())].is_string(), "{seen}");
    assert!(seen["self_signing_keys"][&alice.id].is_object(), "{seen}");
    assert!(seen["user_signing_keys"][&alice.id].is_null(), "the user-signing key is her own business: {seen}");
    let signatures = &seen["device_keys"][&alice.id][&alice.device]["signatures"][&alice.id];
    assert!(signatures[format!("ed25519:{}", identity.self_signing_id())].is_string(), "{seen}");
    assert!(signatures[format!("ed25519:{}", alice.device)].is_string(), "{seen}");
    assert!(query(&alice, &alice).await["user_signing_keys"][&alice.id].is_object());

    // Other keys need the password.
    let replacement = CrossSigning::new(&alice);
    let _ = alice.post(path, replacement.upload()).await.unauthorized();
    let _ = alice.with_password("POST", path, replacement.upload()).await.ok();
    let seen = query(&bob.on(&one), &alice).await;
    assert!(
        seen["master_keys"][&alice.id]["keys"][format!("ed25519:{}", replacement.master_id())].is_string(),
        "{seen}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_users_signature_on_another_is_hers_to_see() {
    let _turn = turn::shared().await;
    let (one, two) = shared::nodes().await;
    let (alice, bob, carol) = (one.user("alice").await, two.user("bob").await, one.user("carol").await);
    let room = alice.public_room("a room").await;
    bob.join(&room).await;
    carol.join(&room).await;
    let (of_alice, of_bob) = (CrossSigning::new(&alice), CrossSigning::new(&bob));
    let _ = alice.post("keys/device_signing/upload", of_alice.upload()).await.ok();
    let _ = bob.post("keys/device_signing/upload", of_bob.upload()).await.ok();

    // Both nodes have his keys in memory, without her signature.
    let signatures = |answer: &Value| answer["master_keys"][&bob.id]["signatures"][&alice.id].is_object();
    for node in [&*one, &*two] {
        assert!(!signatures(&query(&alice.on(node), &bob).await));
    }

    let signed = of_alice.sign_user(of_bob.upload()["master_key"].clone());
    let failures = alice.post("keys/signatures/upload", json!({ &bob.id: { of_bob.master_id(): signed } })).await.ok();
    assert!(failures["failures"].as_object().is_none_or(serde_json::Map::is_empty), "{failures}");

    for node in [&*two, &*one] {
        assert!(signatures(&query(&alice.on(node), &bob).await));
        assert!(!signatures(&query(&carol.on(node), &bob).await), "who trusts whom is nobody else's business");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_backup_keeps_the_best_keys() {
    let _turn = turn::shared().await;
    let (one, two) = shared::nodes().await;
    let alice = one.user("alice").await;
    let other_side = alice.on(&two);
    let make = json!({
        "algorithm": "m.megolm_backup.v1.curve25519-aes-sha2",
        "auth_data": { "public_key": "abcdefg", "signatures": {} },
    });
    alice.get("room_keys/version").await.is(404, "M_NOT_FOUND");
    let version = text(&alice.post("room_keys/version", make.clone()).await.ok()["version"]);
    let path = |rest: &str| format!("room_keys/keys{rest}?version={version}");
    let key = |index: u64, verified: bool| json!({ "first_message_index": index, "forwarded_count": 0, "is_verified": verified, "session_data": { "i": index } });

    let put = alice.put(&path("/!room:localhost/session"), key(5, false)).await.ok();
    assert_eq!(put["count"], 1);
    // A worse key does not replace a better one; a better one does.
    let same = other_side.put(&path("/!room:localhost/session"), key(9, false)).await.ok();
    assert_eq!(same["etag"], put["etag"]);
    let better = other_side.put(&path("/!room:localhost/session"), key(9, true)).await.ok();
    assert_ne!(better["etag"], put["etag"]);
    let many = json!({ "rooms": { "!other:localhost": { "sessions": { "a": key(0, true), "b": key(0, true) } } } });
    assert_eq!(alice.put(&path(""), many).await.ok()["count"], 3);

    let all = other_side.get(&path("")).await.ok();
    assert_eq!(all["rooms"]["!room:localhost"]["sessions"]["session"]["session_data"], json!({ "i": 9 }));
    assert_eq!(all["rooms"]["!other:localhost"]["sessions"].as_object().map(serde_json::Map::len), Some(2));
    let _ = alice.delete(&path("/!other:localhost/a"), None).await.ok();
    let info = other_side.get("room_keys/version").await.ok();
    assert_eq!((&info["count"], &info["version"]), (&json!(2), &json!(version)));

    let newer = text(&alice.post("room_keys/version", make).await.ok()["version"]);
    assert_ne!(newer, version);
    let stale = other_side.put(&path("/!room:localhost/session"), key(0, true)).await;
    stale.is(403, "M_WRONG_ROOM_KEYS_VERSION");
    assert_eq!(stale.body["current_version"], newer);
    let _ = alice.delete(&format!("room_keys/version/{newer}"), None).await.ok();
    other_side.get(&format!("room_keys/keys?version={newer}")).await.is(404, "M_NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread")]
async fn encrypted_messages_pass_through_untouched() {
    let _turn = turn::shared().await;
    let (one, two) = shared::nodes().await;
    let (alice, bob) = (one.user("alice").await, two.user("bob").await);
    let room = alice.public_room("a room").await;
    bob.join(&room).await;
    bob.sync().await;
    let content = json!({
        "algorithm": "m.megolm.v1.aes-sha2", "ciphertext": "AwgAEnACgAkLmt6qF84IK++J7UDH2Za1YVchHyprqTqsg",
        "device_id": alice.device, "sender_key": "key", "session_id": "id", "odd": [1, "\u{0}", null, { "é": "\u{1f600}" }],
    });

    let event = alice.send(&room, "m.room.encrypted", content.clone()).await;

    assert_eq!(bob.wait_for_event(&room, &event).await["content"], content);
    assert_eq!(bob.get(&at(&room, &format!("event/{}", seg(&event)))).await.ok()["content"], content);
    let page = list(&bob.messages(&room, "dir=b&limit=1").await["chunk"]);
    assert_eq!(page[0]["content"], content);
}

/// State and timeline of the first sync that shows `room`.
async fn first_sight(user: &User, room: &str, query: &str) -> Vec<Value> {
    for _ in 0..10 {
        let sync = user.sync_with(query).await;
        let all: Vec<Value> = state(&sync, room).into_iter().chain(timeline(&sync, room)).collect();
        if !all.is_empty() {
            return all;
        }
    }
    panic!("{} never saw {room}", user.id);
}
