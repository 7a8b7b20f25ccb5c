//! `/sync`: sections, gaps, long-polls, tokens.

use std::time::{Duration, Instant};

use roost_tests::{
    http::{seg, text},
    shared,
    sync::{bodies, filter, find, ids, joined, limit, list, state, strings, timeline},
    turn,
    user::{User, at},
};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn a_first_sync_shows_the_rooms_and_the_next_one_only_what_is_new() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let room = alice.public_room("a room").await;
    bob.join(&room).await;
    alice.say(&room, "one").await;

    let first = bob.sync().await;
    assert_eq!(bodies(&timeline(&first, &room)), ["one"]);
    assert!(joined(&first, &room)["timeline"]["prev_batch"].is_string());
    let all: Vec<Value> = state(&first, &room).into_iter().chain(timeline(&first, &room)).collect();
    for kind in ["m.room.create", "m.room.power_levels", "m.room.join_rules", "m.room.name"] {
        assert_eq!(all.iter().filter(|it| it["type"] == kind).count(), 1, "{kind}");
    }
    for event in all {
        assert!(event["unsigned"]["age"].is_i64(), "{event}");
    }

    let two = alice.say(&room, "two").await;
    let second = bob.sync().await;
    assert_eq!(ids(&timeline(&second, &room)), [two]);
    assert_ne!(joined(&second, &room)["timeline"]["limited"], true);
    assert!(state(&second, &room).is_empty());
    let third = bob.sync().await;
    assert!(joined(&third, &room).is_null(), "{third}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_poll_waits_and_wakes() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let room = alice.public_room("a room").await;
    bob.join(&room).await;
    bob.sync().await;
    bob.sync().await;

    let begin = Instant::now();
    bob.sync_with("timeout=700").await;
    assert!(begin.elapsed() >= Duration::from_millis(650), "returned after {:?} with nothing to say", begin.elapsed());

    let wait = bob.sync_with("timeout=20000");
    let speak = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        (alice.say(&room, "wake up").await, Instant::now())
    };
    let (sync, (event, acknowledged)) = tokio::join!(wait, speak);
    assert_eq!(ids(&timeline(&sync, &room)), [event]);
    assert!(acknowledged.elapsed() < Duration::from_millis(1_000), "woken {:?} after", acknowledged.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_token_gives_the_same_answer() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let room = alice.public_room("a room").await;
    bob.join(&room).await;
    bob.sync().await;
    let token = bob.since();
    alice.say(&room, "one").await;
    alice.say(&room, "two").await;

    let first = bob.sync().await;
    bob.rewind(token);
    let again = bob.sync().await;

    assert_eq!(ids(&timeline(&first, &room)), ids(&timeline(&again, &room)));
    assert_eq!(bodies(&timeline(&again, &room)), ["one", "two"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gap_is_marked_and_can_be_filled() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let room = alice.public_room("before").await;
    bob.join(&room).await;
    bob.sync().await;
    let mut said = Vec::new();
    let _ = alice.set_state(&room, "m.room.name", "", json!({ "name": "in the gap" })).await.ok();
    for n in 0..20 {
        said.push(alice.say(&room, &n.to_string()).await);
    }

    let sync = bob.sync_with(&format!("timeout=0&filter={}", limit(5))).await;

    assert_eq!(joined(&sync, &room)["timeline"]["limited"], true);
    assert_eq!(ids(&timeline(&sync, &room)), said[15..]);
    let name = state(&sync, &room);
    assert_eq!(find(&name, "m.room.name", Some("")).expect("changed state")["content"]["name"], "in the gap");
    let from = text(&joined(&sync, &room)["timeline"]["prev_batch"]);
    let page = bob.messages(&room, &format!("dir=b&limit=15&from={}", seg(&from))).await;
    let mut older = ids(&list(&page["chunk"]));
    older.reverse();
    assert_eq!(older, said[..15]);
}

#[tokio::test(flavor = "multi_thread")]
async fn state_stands_before_the_timeline_and_state_after_behind_it() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let alice = server.user("alice").await;
    let room = alice.public_room("first").await;
    let topic = |words: &str| json!({ "topic": words });
    let _ = alice.set_state(&room, "m.room.topic", "", topic("old")).await.ok();
    for n in 0..5 {
        alice.say(&room, &n.to_string()).await;
    }
    let _ = alice.set_state(&room, "m.room.topic", "", topic("new")).await.ok();
    alice.say(&room, "last").await;
    let shown =
        |sync: &Value| find(&state(sync, &room), "m.room.topic", Some("")).map(|it| it["content"]["topic"].clone());

    let query = format!("timeout=0&filter={}", limit(3));
    let before = alice.sync_with(&query).await;
    assert_eq!(shown(&before), Some(json!("old")));
    alice.start_over();
    let after = alice.sync_with(&format!("{query}&use_state_after=true")).await;
    if joined(&after, &room)["state_after"].is_object() {
        assert_eq!(shown(&after), Some(json!("new")));
        assert!(joined(&after, &room)["state"].is_null());
    } else {
        assert!(std::env::var_os("ROOST_E2E_SERVER").is_some(), "use_state_after is not honoured: {after}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn members_are_loaded_lazily() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let alice = server.user("alice").await;
    let room = alice.create_room(json!({ "preset": "public_chat" })).await;
    let mut others = Vec::new();
    for n in 0..8 {
        let other = server.user(&format!("other{n}")).await;
        other.join(&room).await;
        others.push(other);
    }
    for n in 0..12 {
        others[0].say(&room, &n.to_string()).await;
    }
    let lazy = filter(&json!({ "room": { "state": { "lazy_load_members": true }, "timeline": { "limit": 10 } } }));
    let members = |sync: &Value| {
        let mut found: Vec<_> = state(sync, &room)
            .iter()
            .filter(|it| it["type"] == "m.room.member")
            .map(|it| text(&it["state_key"]))
            .collect();
        found.sort();
        found
    };

    let first = alice.sync_with(&format!("timeout=0&filter={lazy}")).await;
    let mut loaded = members(&first);
    for needed in [&others[0], &alice] {
        assert!(loaded.contains(&needed.id), "{} is missing in {loaded:?}", needed.id);
    }
    let summary = &joined(&first, &room)["summary"];
    assert_eq!(summary["m.joined_member_count"], 9);
    let heroes = strings(&summary["m.heroes"]);
    assert!(heroes.len() == 5 && !heroes.contains(&alice.id), "{summary}");
    // Heroes may come along; nobody else.
    loaded.retain(|it| !heroes.contains(it) && *it != alice.id && *it != others[0].id);
    assert_eq!(loaded, Vec::<String>::new());

    let unheard = others.iter().rev().find(|it| !heroes.contains(&it.id)).expect("one who is no hero");
    unheard.say(&room, "my first words").await;
    let second = alice.sync_with(&format!("timeout=0&filter={lazy}")).await;
    assert!(members(&second).contains(&unheard.id), "the sender's membership comes with the message");
    let full = alice.get(&at(&room, "members")).await.ok();
    assert_eq!(list(&full["chunk"]).len(), 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn invites_show_what_may_be_known() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    bob.sync().await;
    let room = alice.create_room(json!({ "preset": "private_chat", "name": "come in", "invite": [bob.id] })).await;

    let sync = bob.sync_with("timeout=5000").await;
    let stripped = list(&sync["rooms"]["invite"][&room]["invite_state"]["events"]);
    for (kind, key) in
        [("m.room.create", ""), ("m.room.join_rules", ""), ("m.room.name", ""), ("m.room.member", &bob.id)]
    {
        let event = find(&stripped, kind, Some(key)).unwrap_or_else(|| panic!("{kind} is missing: {stripped:?}"));
        assert!(event["sender"].is_string() && event["content"].is_object());
    }
    assert_eq!(find(&stripped, "m.room.member", Some(&bob.id)).expect("the invite")["sender"], alice.id);

    bob.leave(&room).await;
    let refused = bob.sync().await;
    assert!(refused["rooms"]["leave"][&room].is_object(), "{refused}");
    assert!(refused["rooms"]["invite"][&room].is_null());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_left_room_is_shown_once_up_to_the_leave() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let room = alice.public_room("a room").await;
    bob.join(&room).await;
    bob.sync().await;
    alice.say(&room, "last words").await;
    let _ = alice.moderate("kick", &room, &bob).await.ok();
    alice.say(&room, "behind the door").await;

    let sync = bob.sync().await;
    let events = list(&sync["rooms"]["leave"][&room]["timeline"]["events"]);
    assert_eq!(bodies(&events), ["last words"]);
    assert_eq!(find(&events, "m.room.member", Some(&bob.id)).expect("the kick")["content"]["membership"], "leave");
    assert!(joined(&sync, &room).is_null());
    let next = bob.sync().await;
    assert!(next["rooms"]["leave"][&room].is_null(), "{next}");
    bob.start_over();
    let fresh = bob.sync().await;
    assert!(fresh["rooms"]["leave"][&room].is_null(), "left rooms are for who asks for them");
    bob.start_over();
    let query = format!("timeout=0&filter={}", filter(&json!({ "room": { "include_leave": true } })));
    let with_left = bob.sync_with(&query).await;
    assert!(with_left["rooms"]["leave"][&room].is_object(), "{with_left}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_join_brings_the_whole_state() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let room = alice.public_room("old room").await;
    for n in 0..15 {
        alice.say(&room, &n.to_string()).await;
    }
    bob.sync().await;
    bob.join(&room).await;

    let sync = bob.sync_with(&format!("timeout=5000&filter={}", limit(3))).await;
    let all: Vec<Value> = state(&sync, &room).into_iter().chain(timeline(&sync, &room)).collect();
    assert!(find(&all, "m.room.create", Some("")).is_some());
    assert!(find(&all, "m.room.name", Some("")).is_some());
    assert!(find(&all, "m.room.member", Some(&alice.id)).is_some());
    assert_eq!(timeline(&sync, &room).last().expect("his own join")["state_key"], bob.id);
    assert_eq!(joined(&sync, &room)["timeline"]["limited"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_choose_types_senders_and_rooms() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let (room, other) = (alice.public_room("one").await, alice.public_room("two").await);
    bob.join(&room).await;
    bob.join(&other).await;
    alice.say(&room, "from alice").await;
    bob.say(&room, "from bob").await;
    alice.say(&other, "elsewhere").await;
    let first = |wish: Value| {
        let bob = &bob;
        async move {
            bob.start_over();
            bob.sync_with(&format!("timeout=0&filter={}", filter(&wish))).await
        }
    };

    let by_sender =
        first(json!({ "room": { "timeline": { "senders": [alice.id], "types": ["m.room.message"] } } })).await;
    assert_eq!(bodies(&timeline(&by_sender, &room)), ["from alice"]);
    let not_sender = first(json!({ "room": { "timeline": { "not_senders": [alice.id] } } })).await;
    assert_eq!(bodies(&timeline(&not_sender, &room)), ["from bob"]);
    let by_room = first(json!({ "room": { "rooms": [room] } })).await;
    assert!(joined(&by_room, &room).is_object() && joined(&by_room, &other).is_null());
    let not_room = first(json!({ "room": { "not_rooms": [room] } })).await;
    assert!(joined(&not_room, &room).is_null() && joined(&not_room, &other).is_object());
    let stars =
        first(json!({ "room": { "timeline": { "types": ["m.room.mess*"] }, "state": { "types": ["m.room.n*"] } } }))
            .await;
    assert!(timeline(&stars, &room).iter().all(|it| it["type"] == "m.room.message"));
    assert!(state(&stars, &room).iter().all(|it| it["type"] == "m.room.name"));
    // The stored form does the same.
    let id = text(&bob.post(&bob.own("filter"), json!({ "room": { "rooms": [room] } })).await.ok()["filter_id"]);
    bob.start_over();
    let stored = bob.sync_with(&format!("timeout=0&filter={id}")).await;
    assert!(joined(&stored, &room).is_object() && joined(&stored, &other).is_null());
}

#[tokio::test(flavor = "multi_thread")]
async fn typing_is_seen_and_stops() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let room = alice.public_room("a room").await;
    bob.join(&room).await;
    bob.sync().await;
    let typing = |user: &User| at(&room, &format!("typing/{}", seg(&user.id)));
    let typists = |sync: &Value| {
        let events = list(&joined(sync, &room)["ephemeral"]["events"]);
        find(&events, "m.typing", None).map(|it| strings(&it["content"]["user_ids"]))
    };

    let _ = alice.put(&typing(&alice), json!({ "typing": true, "timeout": 1_500 })).await.ok();
    assert_eq!(bob.wait_for("typing", typists).await, [alice.id.as_str()]);
    // It ends by itself.
    assert_eq!(bob.wait_for("the end of typing", typists).await, Vec::<String>::new());
    let _ = alice.put(&typing(&alice), json!({ "typing": true, "timeout": 20_000 })).await.ok();
    bob.wait_for("typing", typists).await;
    let _ = alice.put(&typing(&alice), json!({ "typing": false })).await.ok();
    assert_eq!(bob.wait_for("the end of typing", typists).await, Vec::<String>::new());
    bob.put(&typing(&alice), json!({ "typing": true })).await.is(403, "M_FORBIDDEN");
}

#[tokio::test(flavor = "multi_thread")]
async fn receipts_are_shown_and_private_ones_kept() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let room = alice.public_room("a room").await;
    bob.join(&room).await;
    let (one, two) = (alice.say(&room, "one").await, alice.say(&room, "two").await);
    alice.sync().await;
    bob.sync().await;
    let receipt = |sync: &Value, event: &str, kind: &str| {
        let events = list(&joined(sync, &room)["ephemeral"]["events"]);
        find(&events, "m.receipt", None).map(|it| it["content"][event][kind][&bob.id].clone()).filter(Value::is_object)
    };

    let _ = bob.post(&at(&room, &format!("receipt/m.read/{}", seg(&one))), json!({})).await.ok();
    let shown = alice.wait_for("a receipt", |sync| receipt(sync, &one, "m.read")).await;
    assert!(shown["ts"].is_u64(), "{shown}");

    let _ = bob.post(&at(&room, &format!("receipt/m.read.private/{}", seg(&two))), json!({})).await.ok();
    bob.wait_for("his own private receipt", |sync| receipt(sync, &two, "m.read.private")).await;
    let _ = alice.say(&room, "three").await;
    let others = alice.sync_with("timeout=2000").await;
    assert_eq!(receipt(&others, &two, "m.read.private"), None);

    let _ = bob.post(&at(&room, "read_markers"), json!({ "m.fully_read": two, "m.read": two })).await.ok();
    bob.wait_for("the read marker", |sync| {
        let data = list(&joined(sync, &room)["account_data"]["events"]);
        find(&data, "m.fully_read", None).filter(|it| it["content"]["event_id"] == two).map(|_| ())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn full_state_comes_when_asked() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let alice = server.user("alice").await;
    let room = alice.public_room("a room").await;
    alice.sync().await;

    let sync = alice.sync_with("timeout=0&full_state=true").await;

    let all: Vec<Value> = state(&sync, &room).into_iter().chain(timeline(&sync, &room)).collect();
    assert!(find(&all, "m.room.create", Some("")).is_some(), "{sync}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_token_is_named() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let alice = server.user("alice").await;

    let reply = alice.get("sync?timeout=0&since=complete-nonsense").await;

    assert_eq!(reply.status, 400, "{}", reply.text());
    assert!(reply.body["errcode"].is_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_one_node_is_good_on_the_other() {
    let _turn = turn::shared().await;
    let (one, two) = shared::nodes().await;
    let (alice, bob) = (one.user("alice").await, two.user("bob").await);
    let room = alice.public_room("across nodes").await;
    bob.join(&room).await;
    bob.sync().await;
    let mut said = Vec::new();
    let mut seen = Vec::new();
    let other_side = bob.on(&one);
    for n in 0..20 {
        // Each message must be visible on the other node as soon as it was acknowledged.
        said.push(alice.say(&room, &n.to_string()).await);
        let side = if n % 2 == 0 { &bob } else { &other_side };
        seen.extend(ids(&timeline(&side.sync_with("timeout=2000").await, &room)));
        let other = if n % 2 == 0 { &other_side } else { &bob };
        other.rewind(side.since());
    }
    assert_eq!(seen, said);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_poll_on_one_node_wakes_for_the_other() {
    let _turn = turn::shared().await;
    let (one, two) = shared::nodes().await;
    let (alice, bob) = (one.user("alice").await, two.user("bob").await);
    let room = alice.public_room("across nodes").await;
    bob.join(&room).await;
    bob.sync().await;
    bob.sync().await;

    let speak = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        (alice.say(&room, "over there").await, Instant::now())
    };
    let (sync, (event, acknowledged)) = tokio::join!(bob.sync_with("timeout=20000"), speak);

    assert_eq!(ids(&timeline(&sync, &room)), [event]);
    assert!(acknowledged.elapsed() < Duration::from_millis(1_000), "woken {:?} after", acknowledged.elapsed());
}
