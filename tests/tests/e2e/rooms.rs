//! Rooms: creation, membership, state, sending, history.

use std::collections::HashSet;

use roost_tests::{
    http::{seg, text},
    scratch, shared,
    sync::{bodies, find, ids, list, strings, timeline},
    timeline::history,
    turn,
    user::{User, at, txn},
};
use serde_json::{Value, json};

/// The content of a state event.
async fn content(user: &User, room: &str, kind: &str) -> Value {
    user.state(room, kind, "").await.ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn presets_set_the_rules_that_they_promise() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let alice = server.user("alice").await;
    for (preset, join, guests) in [
        ("private_chat", "invite", "can_join"),
        ("trusted_private_chat", "invite", "can_join"),
        ("public_chat", "public", "forbidden"),
    ] {
        let room = alice.create_room(json!({ "preset": preset })).await;
        assert_eq!(content(&alice, &room, "m.room.join_rules").await["join_rule"], join, "{preset}");
        assert_eq!(
            content(&alice, &room, "m.room.history_visibility").await["history_visibility"],
            "shared",
            "{preset}"
        );
        let access = alice.state(&room, "m.room.guest_access", "").await;
        match access.status {
            200 => assert_eq!(access.body["guest_access"], guests, "{preset}"),
            _ => assert_eq!(guests, "forbidden", "{preset}: {}", access.text()),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_room_version_works() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    for version in 1..=12 {
        let version = version.to_string();
        let room =
            alice.create_room(json!({ "preset": "public_chat", "room_version": version, "name": "old and new" })).await;
        assert_eq!(room.contains(':'), version != "12", "{room} of version {version}");
        assert_eq!(content(&alice, &room, "m.room.create").await["room_version"], version.as_str());
        bob.join(&room).await;
        let event = bob.say(&room, "hello").await;
        assert_eq!(event.ends_with(":localhost"), version == "1" || version == "2", "{event} of version {version}");
        let redaction = alice.redact(&room, &event).await;

        let redacted = bob.event(&room, &event).await.ok();
        assert_eq!(redacted["content"], json!({}), "version {version}");
        assert_eq!(redacted["unsigned"]["redacted_because"]["event_id"], redaction, "version {version}");
        let rename = json!({ "name": "mine" });
        bob.set_state(&room, "m.room.name", "", rename).await.is(403, "M_FORBIDDEN");
    }
    let unknown = alice.post("createRoom", json!({ "room_version": "not-a-version" })).await;
    unknown.is(400, "M_UNSUPPORTED_ROOM_VERSION");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_default_version_is_12_and_its_creators_stand_above_the_levels() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let room = alice.create_room(json!({ "preset": "trusted_private_chat", "invite": [bob.id] })).await;
    bob.join(&room).await;

    let create = content(&alice, &room, "m.room.create").await;
    assert_eq!(create["room_version"], "12");
    assert_eq!(strings(&create["additional_creators"]), [bob.id.as_str()]);
    let levels = content(&alice, &room, "m.room.power_levels").await;
    let users = levels["users"].as_object().cloned().unwrap_or_default();
    assert!(!users.contains_key(&alice.id) && !users.contains_key(&bob.id), "{levels}");
    assert!(levels["events"]["m.room.tombstone"].as_i64() > levels["state_default"].as_i64(), "{levels}");
    let _ = bob.set_state(&room, "m.room.name", "", json!({ "name": "ours" })).await.ok();
    let id = text(&list(&alice.get(&at(&room, "state")).await.ok())[0]["room_id"]);
    assert_eq!(id, room);
    let events = list(&alice.get(&at(&room, "state")).await.ok());
    let create = find(&events, "m.room.create", Some("")).expect("the create event");
    assert_eq!(text(&create["event_id"])[1..], room[1..], "the room is named after its create event");
}

#[tokio::test(flavor = "multi_thread")]
async fn rooms_that_begin_alike_at_once_are_rooms_of_their_own() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let alice = server.user("alice").await;
    let creations = (0..40).map(|_| alice.create_room(json!({ "preset": "public_chat", "name": "again" })));
    let rooms: HashSet<String> = futures::future::join_all(creations).await.into_iter().collect();
    assert_eq!(rooms.len(), 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_is_created_as_described() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let alias = scratch::name("alias");
    let room = alice
        .create_room(json!({
            "name": "the name", "topic": "the topic", "room_alias_name": alias, "invite": [bob.id], "is_direct": true,
            "initial_state": [{ "type": "m.room.encryption", "content": { "algorithm": "m.megolm.v1.aes-sha2" } }],
            "power_level_content_override": { "events_default": 7 },
            "creation_content": { "org.example.extra": true },
        }))
        .await;

    assert_eq!(content(&alice, &room, "m.room.name").await["name"], "the name");
    assert_eq!(content(&alice, &room, "m.room.topic").await["topic"], "the topic");
    assert_eq!(content(&alice, &room, "m.room.canonical_alias").await["alias"], format!("#{alias}:localhost"));
    assert_eq!(content(&alice, &room, "m.room.encryption").await["algorithm"], "m.megolm.v1.aes-sha2");
    assert_eq!(content(&alice, &room, "m.room.power_levels").await["events_default"], 7);
    assert_eq!(content(&alice, &room, "m.room.create").await["org.example.extra"], true);
    let invite = alice.state(&room, "m.room.member", &bob.id).await.ok();
    assert_eq!((&invite["membership"], &invite["is_direct"]), (&json!("invite"), &json!(true)));

    let path = format!("directory/room/{}", seg(&format!("#{alias}:localhost")));
    assert_eq!(bob.get(&path).await.ok()["room_id"], room);
    bob.join(&format!("#{alias}:localhost")).await;
    let taken = alice.post("createRoom", json!({ "room_alias_name": alias })).await;
    taken.is(400, "M_ROOM_IN_USE");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_room_takes_the_invited_only() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let (alice, bob, eve) = (server.user("alice").await, server.user("bob").await, server.user("eve").await);
    let room = alice.create_room(json!({ "preset": "private_chat" })).await;

    alice.invite(&room, &bob).await;
    bob.join(&room).await;

    let uninvited = eve.post(&format!("join/{}", seg(&room)), json!({})).await;
    uninvited.is(403, "M_FORBIDDEN");
    eve.put(&at(&room, "send/m.room.message/x"), json!({ "body": "x" })).await.is(403, "M_FORBIDDEN");
    eve.get(&at(&room, "state")).await.is(403, "M_FORBIDDEN");
    eve.get(&at(&room, "messages?dir=b")).await.is(403, "M_FORBIDDEN");
    eve.post(&at(&room, "invite"), json!({ "user_id": eve.id })).await.is(403, "M_FORBIDDEN");
    let joined = alice.get(&at(&room, "joined_members")).await.ok();
    let mut members: Vec<_> = joined["joined"].as_object().expect("members").keys().cloned().collect();
    members.sort();
    let mut expected = [alice.id.clone(), bob.id.clone()];
    expected.sort();
    assert_eq!(members, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invite_can_be_refused_and_taken_back() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let room = alice.create_room(json!({ "preset": "private_chat" })).await;

    alice.invite(&room, &bob).await;
    bob.leave(&room).await;
    bob.post(&format!("join/{}", seg(&room)), json!({})).await.is(403, "M_FORBIDDEN");

    alice.invite(&room, &bob).await;
    let _ = alice.moderate("kick", &room, &bob).await.ok();
    bob.post(&format!("join/{}", seg(&room)), json!({})).await.is(403, "M_FORBIDDEN");
}

#[tokio::test(flavor = "multi_thread")]
async fn moderators_kick_ban_and_forgive() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let room = alice.public_room("a room").await;
    bob.join(&room).await;

    bob.moderate("ban", &room, &alice).await.is(403, "M_FORBIDDEN");
    let _ = alice.moderate("kick", &room, &bob).await.ok();
    bob.post(&at(&room, "leave"), json!({})).await;
    bob.join(&room).await;
    let _ = alice.moderate("ban", &room, &bob).await.ok();
    assert_eq!(bob.post(&format!("join/{}", seg(&room)), json!({})).await.status, 403);
    alice.post(&at(&room, "invite"), json!({ "user_id": bob.id })).await.is(403, "M_FORBIDDEN");
    let _ = alice.moderate("unban", &room, &bob).await.ok();
    bob.join(&room).await;

    let story: Vec<_> = history(&alice, &room, "b")
        .await
        .iter()
        .filter(|event| event["state_key"] == bob.id.as_str())
        .map(|event| text(&event["content"]["membership"]))
        .collect();
    assert_eq!(story, ["join", "leave", "join", "ban", "leave", "join"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn knocking_waits_for_an_invite() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let rules = json!({ "type": "m.room.join_rules", "content": { "join_rule": "knock" } });
    let room = alice.create_room(json!({ "initial_state": [rules], "name": "behind a door" })).await;

    bob.post(&format!("join/{}", seg(&room)), json!({})).await.is(403, "M_FORBIDDEN");
    let knock = bob.post(&format!("knock/{}", seg(&room)), json!({ "reason": "let me in" })).await.ok();
    assert_eq!(knock["room_id"], room);

    let asked = alice.state(&room, "m.room.member", &bob.id).await.ok();
    assert_eq!((&asked["membership"], &asked["reason"]), (&json!("knock"), &json!("let me in")));
    let stripped = bob
        .wait_for("knock section", |sync| {
            let section = &sync["rooms"]["knock"][&room];
            section.is_object().then(|| list(&section["knock_state"]["events"]))
        })
        .await;
    assert_eq!(find(&stripped, "m.room.name", Some("")).expect("the name")["content"]["name"], "behind a door");
    alice.invite(&room, &bob).await;
    bob.join(&room).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restricted_room_takes_the_members_of_another() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let (alice, bob, eve) = (server.user("alice").await, server.user("bob").await, server.user("eve").await);
    let club = alice.public_room("the club").await;
    bob.join(&club).await;
    let rules = json!({
        "type": "m.room.join_rules",
        "content": { "join_rule": "restricted", "allow": [{ "type": "m.room_membership", "room_id": club }] },
    });
    let room = alice.create_room(json!({ "initial_state": [rules] })).await;

    bob.join(&room).await;
    eve.post(&format!("join/{}", seg(&room)), json!({})).await.is(403, "M_FORBIDDEN");
    // Who is in may come again, whatever became of the club.
    bob.leave(&club).await;
    bob.join(&room).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leaving_and_forgetting() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let room = alice.public_room("a room").await;
    bob.join(&room).await;
    let before = alice.say(&room, "before").await;
    let phone = bob.new_device().await;
    let since = text(&phone.get("sync").await.ok()["next_batch"]);

    bob.post(&at(&room, "forget"), json!({})).await.is(400, "M_UNKNOWN");
    bob.leave(&room).await;
    let after = alice.say(&room, "after").await;

    let seen = ids(&history(&bob, &room, "b").await);
    assert!(seen.contains(&before) && !seen.contains(&after), "who left sees the room up to then");
    bob.event(&room, &after).await.is(404, "M_NOT_FOUND");
    let _ = bob.post(&at(&room, "forget"), json!({})).await.ok();
    bob.get(&at(&room, "messages?dir=b")).await.is(403, "M_FORBIDDEN");
    let told = phone.get(&format!("sync?since={}", seg(&since))).await.ok();
    assert!(told["rooms"]["leave"][&room].is_object(), "another device must learn that the user is out: {told}");
    let anew = phone.get("sync").await.ok();
    assert!(anew["rooms"]["leave"][&room].is_null(), "{anew}");
    assert!(!strings(&bob.get("joined_rooms").await.ok()["joined_rooms"]).contains(&room));
    bob.join(&room).await;
    assert!(strings(&bob.get("joined_rooms").await.ok()["joined_rooms"]).contains(&room));
}

#[tokio::test(flavor = "multi_thread")]
async fn state_is_set_read_and_guarded() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let room = alice.public_room("first").await;
    bob.join(&room).await;

    let set = alice.set_state(&room, "org.example.thing", "a/key", json!({ "n": 1 })).await.ok();
    assert!(set["event_id"].is_string());
    assert_eq!(bob.state(&room, "org.example.thing", "a/key").await.ok(), json!({ "n": 1 }));
    bob.state(&room, "org.example.thing", "").await.is(404, "M_NOT_FOUND");
    // An empty state key may be left out, with and without the slash.
    assert_eq!(bob.get(&at(&room, "state/m.room.name")).await.ok()["name"], "first");
    let same = alice.set_state(&room, "org.example.thing", "a/key", json!({ "n": 1 })).await;
    assert_eq!(same.status, 200, "{}", same.text());
    bob.set_state(&room, "m.room.name", "", json!({ "name": "bob's" })).await.is(403, "M_FORBIDDEN");
    let of_another = alice.set_state(&room, "org.example.own", &bob.id, json!({})).await;
    of_another.is(403, "M_FORBIDDEN");

    let mut levels = content(&alice, &room, "m.room.power_levels").await;
    levels["users"][&bob.id] = json!(50);
    let _ = alice.set_state(&room, "m.room.power_levels", "", levels).await.ok();
    let _ = bob.set_state(&room, "m.room.name", "", json!({ "name": "bob's" })).await.ok();
    let mut too_high = content(&bob, &room, "m.room.power_levels").await;
    too_high["users"][&bob.id] = json!(100);
    bob.set_state(&room, "m.room.power_levels", "", too_high).await.is(403, "M_FORBIDDEN");
    assert_eq!(content(&alice, &room, "m.room.name").await["name"], "bob's");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_id_is_good_for_one_event() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let phone = server.user("alice").await;
    let laptop = phone.new_device().await;
    let (room, other_room) = (phone.public_room("one").await, phone.public_room("two").await);
    let (id, words) = (txn(), json!({ "msgtype": "m.text", "body": "once" }));
    laptop.sync().await;
    phone.sync().await;

    let first = text(&phone.send_as(&room, "m.room.message", &id, words.clone()).await.ok()["event_id"]);
    let again = text(&phone.send_as(&room, "m.room.message", &id, words.clone()).await.ok()["event_id"]);
    let from_laptop = text(&laptop.send_as(&room, "m.room.message", &id, words.clone()).await.ok()["event_id"]);
    let elsewhere = text(&phone.send_as(&other_room, "m.room.message", &id, words).await.ok()["event_id"]);

    assert_eq!(first, again);
    assert!(first != from_laptop && first != elsewhere && from_laptop != elsewhere);
    let on_phone = phone.wait_for_event(&room, &first).await;
    assert_eq!(on_phone["unsigned"]["transaction_id"], id);
    let on_laptop = laptop.wait_for_event(&room, &first).await;
    assert!(on_laptop["unsigned"]["transaction_id"].is_null(), "{on_laptop}");
}

#[tokio::test(flavor = "multi_thread")]
async fn simultaneous_repeats_make_one_event() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let alice = server.user("alice").await;
    let room = alice.public_room("a room").await;
    let id = txn();

    let sends =
        (0..16).map(|_| alice.send_as(&room, "m.room.message", &id, json!({ "msgtype": "m.text", "body": "x" })));
    let made: Vec<_> =
        futures::future::join_all(sends).await.into_iter().map(|it| text(&it.ok()["event_id"])).collect();

    assert!(made.iter().all(|it| *it == made[0]), "{made:?}");
    let kept = history(&alice, &room, "b").await;
    assert_eq!(bodies(&kept), ["x"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn redaction_needs_the_sender_or_a_moderator() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let (alice, bob, carol) = (server.user("alice").await, server.user("bob").await, server.user("carol").await);
    let room = alice.public_room("a room").await;
    bob.join(&room).await;
    carol.join(&room).await;
    let event = bob.say(&room, "regretted").await;

    let path = at(&room, &format!("redact/{}/{}", seg(&event), txn()));
    carol.put(&path, json!({})).await.is(403, "M_FORBIDDEN");
    bob.redact(&room, &event).await;

    for user in [&alice, &bob, &carol] {
        assert_eq!(user.event(&room, &event).await.ok()["content"], json!({}));
    }
    assert!(bodies(&history(&carol, &room, "b").await).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn history_reads_the_same_in_both_directions_and_in_pages_of_any_size() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let alice = server.user("alice").await;
    let room = alice.public_room("a room").await;
    let mut said = Vec::new();
    for n in 0..45 {
        said.push(alice.say(&room, &n.to_string()).await);
    }

    let back = ids(&history(&alice, &room, "b").await);
    let forth = ids(&history(&alice, &room, "f").await);
    assert_eq!(back, forth);
    assert_eq!(back[back.len() - 45..], said);

    for size in [1, 7] {
        let (mut from, mut pages) = (String::new(), Vec::new());
        loop {
            let page = alice.messages(&room, &format!("dir=b&limit={size}{from}")).await;
            let chunk = ids(&list(&page["chunk"]));
            assert!(chunk.len() <= size);
            pages.extend(chunk);
            let Some(end) = page["end"].as_str() else { break };
            from = format!("&from={}", seg(end));
        }
        pages.reverse();
        assert_eq!(pages, back, "pages of {size}");
    }
    let filtered =
        alice.messages(&room, &format!("dir=b&limit=100&filter={}", seg(r#"{"types":["m.room.name"]}"#))).await;
    assert_eq!(list(&filtered["chunk"]).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn history_visibility_decides_what_a_late_comer_sees() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let (alice, late) = (server.user("alice").await, server.user("late").await);
    for (visibility, expected) in [
        ("shared", vec!["early", "invited", "joined"]),
        ("invited", vec!["invited", "joined"]),
        ("joined", vec!["joined"]),
        ("world_readable", vec!["early", "invited", "joined"]),
    ] {
        let event = json!({ "type": "m.room.history_visibility", "content": { "history_visibility": visibility } });
        let room = alice.create_room(json!({ "preset": "private_chat", "initial_state": [event] })).await;
        let early = alice.say(&room, "early").await;
        let peek = late.get(&at(&room, "messages?dir=b")).await;
        assert_eq!(peek.status, if visibility == "world_readable" { 200 } else { 403 }, "{visibility}");
        alice.invite(&room, &late).await;
        alice.say(&room, "invited").await;
        late.join(&room).await;
        alice.say(&room, "joined").await;

        assert_eq!(bodies(&history(&late, &room, "b").await), expected, "{visibility}");
        let alone = late.event(&room, &early).await;
        assert_eq!(alone.status, if expected.contains(&"early") { 200 } else { 404 }, "{visibility}: {}", alone.text());
        late.start_over();
        let seen = bodies(&timeline(&late.sync().await, &room));
        assert_eq!(seen, expected, "{visibility} in sync");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn context_shows_the_neighbours() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let alice = server.user("alice").await;
    let room = alice.public_room("a room").await;
    let mut said = Vec::new();
    for n in 0..9 {
        said.push(alice.say(&room, &n.to_string()).await);
    }

    let context = alice.get(&at(&room, &format!("context/{}?limit=4", seg(&said[4])))).await.ok();

    assert_eq!(context["event"]["event_id"], said[4]);
    assert_eq!(ids(&list(&context["events_before"])), [said[3].clone(), said[2].clone()]);
    assert_eq!(ids(&list(&context["events_after"])), [said[5].clone(), said[6].clone()]);
    assert!(find(&list(&context["state"]), "m.room.create", Some("")).is_some());
    let older = alice.messages(&room, &format!("dir=b&limit=1&from={}", seg(&text(&context["start"])))).await;
    assert_eq!(ids(&list(&older["chunk"])), [said[1].clone()]);
    let newer = alice.messages(&room, &format!("dir=f&limit=1&from={}", seg(&text(&context["end"])))).await;
    assert_eq!(ids(&list(&newer["chunk"])), [said[7].clone()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn members_are_listed_by_membership_and_moment() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let (alice, bob, carol) = (server.user("alice").await, server.user("bob").await, server.user("carol").await);
    let room = alice.public_room("a room").await;
    bob.join(&room).await;
    alice.sync().await;
    let then = text(&alice.since().map(Value::from).expect("a sync token"));
    carol.join(&room).await;
    bob.leave(&room).await;

    let members = |query: String| {
        let (alice, room) = (&alice, &room);
        async move {
            let chunk = list(&alice.get(&at(room, &format!("members{query}"))).await.ok()["chunk"]);
            let mut found: Vec<_> = chunk.iter().map(|it| text(&it["state_key"])).collect();
            found.sort();
            found
        }
    };
    let sorted = |users: &[&User]| {
        let mut ids: Vec<_> = users.iter().map(|it| it.id.clone()).collect();
        ids.sort();
        ids
    };
    assert_eq!(members(String::new()).await, sorted(&[&alice, &bob, &carol]));
    assert_eq!(members("?membership=join".to_owned()).await, sorted(&[&alice, &carol]));
    assert_eq!(members("?not_membership=join".to_owned()).await, sorted(&[&bob]));
    assert_eq!(members(format!("?membership=join&at={}", seg(&then))).await, sorted(&[&alice, &bob]));

    // A room begins with its creator in it: so does a token from before its first event read.
    let start = text(&alice.messages(&room, "dir=f&limit=1").await["start"]);
    assert_eq!(members(format!("?at={}", seg(&start))).await, sorted(&[&alice]));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_joins_may_say_more_of_themselves() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let room = alice.public_room("a room").await;
    let said = json!({
        "reason": "curious", "displayname": "Bob of this room", "org.example.hat": { "size": 7 },
        "membership": "ban", "join_authorised_via_users_server": alice.id,
    });
    let _ = bob.post(&format!("join/{}", seg(&room)), said).await.ok();
    let content = alice.state(&room, "m.room.member", &bob.id).await.ok();
    let shown = json!({
        "membership": "join", "reason": "curious", "displayname": "Bob of this room", "org.example.hat": { "size": 7 },
    });
    assert_eq!(content, shown);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_read_is_told_so_before_the_question_is_read() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let room = alice.create_room(json!({ "preset": "private_chat" })).await;
    bob.get(&at(&room, "messages")).await.is(403, "M_FORBIDDEN");
    alice.get(&at(&room, "messages")).await.is(400, "M_MISSING_PARAM");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_not_found() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let alice = server.user("alice").await;
    let room = alice.public_room("a room").await;

    alice.event(&room, "$nothing-of-that-name").await.is(404, "M_NOT_FOUND");
    assert_eq!(alice.post("join/!nowhere:localhost", json!({})).await.status, 404);
    alice.get(&format!("directory/room/{}", seg("#no-such-alias:localhost"))).await.is(404, "M_NOT_FOUND");
    alice.put(&at("!nowhere:localhost", "send/m.room.message/x"), json!({})).await.is(403, "M_FORBIDDEN");
    alice.get("no/such/path").await.is(404, "M_UNRECOGNIZED");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_talk_at_once_and_nothing_is_lost() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let alice = server.user("alice").await;
    let room = alice.public_room("a busy room").await;
    let mut talkers = Vec::new();
    for n in 0..8 {
        let talker = server.user(&format!("talker{n}")).await;
        talker.join(&room).await;
        talkers.push(talker);
    }

    let talks = talkers.iter().map(|talker| {
        let room = &room;
        async move {
            let mut said = Vec::new();
            for n in 0..25 {
                said.push(talker.say(room, &format!("{} {n}", talker.id)).await);
            }
            said
        }
    });
    let said: Vec<Vec<String>> = futures::future::join_all(talks).await;

    let kept = ids(&history(&alice, &room, "b").await);
    for own in &said {
        let positions: Vec<_> =
            own.iter().map(|id| kept.iter().position(|it| it == id).expect("a lost event")).collect();
        assert!(positions.is_sorted(), "each talker's words stay in order");
    }
    assert_eq!(kept, ids(&history(&talkers[0], &room, "f").await));
}
