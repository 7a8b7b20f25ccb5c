//! Unread counts, pushers, and what reaches a push gateway.

use std::time::Duration;

use roost_tests::{
    Cluster, User,
    gateway::{Gateway, Manner},
    http::seg,
    shared,
    sync::{filter, joined, list, timeline},
    turn,
    user::at,
};
use serde_json::{Value, json};

/// Notifications and highlights of a room in a first sync, on any device of the user.
async fn unread(user: &User, room: &str) -> (u64, u64) {
    let sync = user.try_sync("timeout=0").await.ok();
    pair(&joined(&sync, room)["unread_notifications"])
}

fn pair(count: &Value) -> (u64, u64) {
    let field = |name: &str| count[name].as_u64().unwrap_or_else(|| panic!("no count: {count}"));
    (field("notification_count"), field("highlight_count"))
}

/// The main timeline's count, and those of the threads.
async fn by_thread(user: &User, room: &str) -> ((u64, u64), Value) {
    let wish = json!({ "room": { "timeline": { "unread_thread_notifications": true } } });
    let sync = user.try_sync(&format!("timeout=0&filter={}", filter(&wish))).await.ok();
    let room = joined(&sync, room);
    (pair(&room["unread_notifications"]), room["unread_thread_notifications"].clone())
}

async fn read(user: &User, room: &str, event: &str, body: Value) {
    let _ = user.post(&at(room, &format!("receipt/m.read/{}", seg(event))), body).await.ok();
}

fn in_thread(words: &str, root: &str, kind: &str) -> Value {
    json!({ "msgtype": "m.text", "body": words, "m.relates_to": { "event_id": root, "rel_type": kind } })
}

fn mention(words: &str, whom: &User) -> Value {
    json!({ "msgtype": "m.text", "body": words, "m.mentions": { "user_ids": [whom.id] } })
}

/// Two on one node, and a reader of the same database through another node, who counts from rows where they count from memory.
async fn trio() -> (User, User, User, String, [shared::Shared; 2]) {
    let (one, two) = shared::nodes().await;
    let (alice, bob) = (one.user("alice").await, one.user("bob").await);
    let room = alice.public_room("talk").await;
    bob.join(&room).await;
    let elsewhere = bob.on(&two);
    (alice, bob, elsewhere, room, [one, two])
}

#[tokio::test(flavor = "multi_thread")]
async fn threads_are_counted_and_read_each_for_itself() {
    let _turn = turn::shared().await;
    let (alice, bob, elsewhere, room, _nodes) = trio().await;
    assert_eq!(unread(&bob, &room).await, (0, 0));
    let a = alice.say(&room, "the root").await;
    let b = alice.send(&room, "m.room.message", in_thread("one", &a, "m.thread")).await;
    alice.send(&room, "m.room.message", in_thread(&format!("two, {}", bob.id), &a, "m.thread")).await;
    let d = alice.say(&room, &format!("hello {}", bob.id)).await;
    alice.send(&room, "m.room.message", in_thread("three", &a, "m.thread")).await;
    let f = alice.send(&room, "m.room.message", in_thread("a reference", &a, "m.reference")).await;
    let g = alice
        .send(
            &room,
            "m.reaction",
            json!({ "m.relates_to":
        { "event_id": f, "rel_type": "m.annotation", "key": "+" } }),
        )
        .await;
    for user in [&bob, &elsewhere] {
        assert_eq!(unread(user, &room).await, (6, 2));
        let (main, threads) = by_thread(user, &room).await;
        assert_eq!((main, pair(&threads[&a])), ((3, 1), (3, 1)));
    }
    // Each receipt says only what it is about.
    let threaded = |root: &str| json!({ "thread_id": root });
    for (event, body, all, main, thread) in [
        (&a, threaded("main"), (5, 2), (2, 1), Some((3, 1))),
        (&b, threaded(&a), (4, 2), (2, 1), Some((2, 1))),
        (&d, json!({}), (2, 0), (1, 0), Some((1, 0))),
        (&g, threaded(&a), (1, 0), (1, 0), None),
    ] {
        read(&bob, &room, event, body).await;
        for user in [&bob, &elsewhere] {
            assert_eq!(unread(user, &room).await, all, "{event}");
            let (shown, threads) = by_thread(user, &room).await;
            assert_eq!((shown, threads.get(&a).map(pair)), (main, thread), "{event}");
        }
    }
    // One's own words are not unread; whoever writes has read what stands before, and nobody reads for others.
    bob.say(&room, "mine").await;
    assert_eq!(unread(&elsewhere, &room).await, (0, 0));
    assert_eq!(unread(&alice, &room).await, (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_decide_what_counts() {
    let _turn = turn::shared().await;
    let (alice, bob, elsewhere, room, [one, two]) = trio().await;
    let both = async |expected: (u64, u64), why: &str| {
        assert_eq!(unread(&bob, &room).await, expected, "{why}, from memory");
        assert_eq!(unread(&elsewhere, &room).await, expected, "{why}, from the other node");
    };
    let first = alice.say(&room, "one").await;
    both((1, 0), "a message").await;
    alice.send(&room, "m.room.message", json!({ "msgtype": "m.notice", "body": "a notice" })).await;
    let edit = json!({ "msgtype": "m.text", "body": "* uno", "m.new_content": { "msgtype": "m.text", "body": "uno" },
        "m.relates_to": { "rel_type": "m.replace", "event_id": first } });
    alice.send(&room, "m.room.message", edit).await;
    alice.set_state(&room, "m.room.topic", "", json!({ "topic": "quiet" })).await;
    both((1, 0), "notices, edits and state are quiet").await;
    let loud = alice.send(&room, "m.room.message", mention("you", &bob)).await;
    both((2, 1), "a mention").await;
    alice
        .send(&room, "m.room.message", json!({ "msgtype": "m.text", "body": "all", "m.mentions": { "room": true } }))
        .await;
    both((3, 2), "everybody").await;
    alice.redact(&room, &loud).await;
    both((2, 1), "what was redacted does not count").await;
    bob.send(&room, "m.room.message", json!({ "msgtype": "m.text", "body": "me", "m.mentions": { "room": true } }))
        .await;
    both((0, 0), "one's own words, and what stands before them").await;

    // A keyword of one's own, on top of everything else.
    let keyword = json!({ "pattern": "tea", "actions": ["notify", { "set_tweak": "highlight" }] });
    let _ = bob.put("pushrules/global/content/tea", keyword).await.ok();
    let last = alice.say(&room, "a cup of TEA?").await;
    both((1, 1), "a keyword").await;
    // Muted: nothing counts but what still notifies.
    let _ = bob.put(&format!("pushrules/global/room/{}", seg(&room)), json!({ "actions": [] })).await.ok();
    both((1, 1), "a muted room").await;
    alice.say(&room, "psst").await;
    alice.send(&room, "m.room.message", mention("psst", &bob)).await;
    both((2, 2), "mentions in a muted room").await;
    let _ = bob.delete(&format!("pushrules/global/room/{}", seg(&room)), None).await.ok();
    both((3, 2), "loud again").await;
    // A private receipt reads as well, and wakes the reader's other devices.
    bob.sync().await;
    let wait = tokio::spawn({
        let other = bob.on(&two);
        let room = room.clone();
        async move {
            other
                .wait_for("counts", |sync| {
                    let count = &joined(sync, &room)["unread_notifications"];
                    (count["notification_count"] == 2).then_some(())
                })
                .await;
        }
    });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let body = json!({ "m.read.private": last });
    let _ = bob.post(&at(&room, "read_markers"), body).await.ok();
    wait.await.expect("woken");
    both((2, 1), "read up to the keyword").await;

    // A node that begins later, or a user who comes back after a while, counts the same; whoever joins has read nothing yet.
    let carol = one.user("carol").await;
    carol.join(&room).await;
    assert_eq!(unread(&carol, &room).await, (0, 0));
    carol.leave(&room).await;
    alice.say(&room, "while she was away").await;
    carol.join(&room).await;
    alice.say(&room, &format!("hello {}", carol.localpart())).await;
    assert_eq!(unread(&carol, &room).await, (1, 1), "as clients without mentions say it");
    let display = json!({ "displayname": "Carola C." });
    let _ = carol.put(&format!("profile/{}/displayname", seg(&carol.id)), display).await.ok();
    alice.say(&room, "carola c., are you there?").await;
    assert_eq!(unread(&carol, &room).await, (2, 2), "a profile is no receipt");
    let sync = carol.on(&two).try_sync("timeout=0").await.ok();
    assert_eq!(pair(&joined(&sync, &room)["unread_notifications"]), (2, 2));
    assert!(!timeline(&sync, &room).is_empty());
}

/// Lets the nodes reach the test's own gateways.
const LOOPBACK: &str = "[push]\nallowed_private_networks = [\"127.0.0.0/8\"]\n";

async fn set(user: &User, pusher: Value) {
    let _ = user.post("pushers/set", pusher).await.ok();
}

async fn keys(user: &User) -> Vec<String> {
    let pushers = user.get("pushers").await.ok();
    list(&pushers["pushers"]).iter().filter_map(|it| it["pushkey"].as_str().map(str::to_owned)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn pushers_belong_to_a_device_and_name_a_gateway() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let pusher = |key: &str| {
        json!({ "app_id": "org.example.app", "pushkey": key, "kind": "http", "app_display_name": "App",
            "device_display_name": "Phone", "lang": "en", "profile_tag": "t",
            "data": { "url": "https://push.example/_matrix/push/v1/notify", "format": "event_id_only" } })
    };
    let with = |name: &str, value: Value| {
        let mut changed = pusher("bad");
        changed[name] = value;
        changed
    };
    set(&alice, pusher("one")).await;
    let shown = alice.get("pushers").await.ok()["pushers"][0].clone();
    for (name, value) in pusher("one").as_object().expect("an object") {
        assert_eq!(&shown[name], value, "{name}");
    }
    assert_eq!(shown["org.matrix.msc3881.enabled"], true);
    assert_eq!(shown["org.matrix.msc3881.device_id"], alice.device.as_str());
    // Set again it is the same pusher; `null` takes it away.
    set(&alice, with("pushkey", json!("one"))).await;
    assert_eq!(keys(&alice).await, ["one"]);
    set(&alice, json!({ "app_id": "org.example.app", "pushkey": "one", "kind": null })).await;
    assert!(keys(&alice).await.is_empty());
    // A key goes with its phone to another user, unless both are to have it.
    for (append, left) in [(false, 0), (true, 1)] {
        set(&alice, pusher("phone")).await;
        let mut other = pusher("phone");
        other["append"] = json!(append);
        set(&bob, other).await;
        assert_eq!((keys(&alice).await.len(), keys(&bob).await.len()), (left, 1), "append: {append}");
    }
    for (bad, code) in [
        (with("data", json!({})), "M_INVALID_PARAM"),
        (with("data", json!({ "url": "https://push.example/other" })), "M_INVALID_PARAM"),
        (with("data", json!({ "url": "http://127.0.0.1:1/_matrix/push/v1/notify" })), "M_INVALID_PARAM"),
        (with("kind", json!("carrier pigeon")), "M_INVALID_PARAM"),
        (with("app_id", json!("x".repeat(65))), "M_INVALID_PARAM"),
        (with("pushkey", json!("x".repeat(513))), "M_INVALID_PARAM"),
        (json!({ "app_id": "a", "pushkey": "b", "kind": "http" }), "M_MISSING_PARAM"),
    ] {
        alice.post("pushers/set", bad).await.is(400, code);
    }
    // Another password takes the other devices' pushers away, and leaves one's own.
    let phone = alice.new_device().await;
    set(&phone, pusher("other device")).await;
    let change = json!({ "new_password": "something else" });
    let _ = alice.with_password("POST", "account/password", change).await.ok();
    assert_eq!(keys(&alice).await, ["phone"]);
    alice.logout().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_reach_gateways_whatever_these_do_and_nodes_die() {
    let _turn = turn::alone().await;
    let mut cluster = Cluster::start_with(2, LOOPBACK).await;
    let (one, two) = (cluster.server(0), cluster.server(1));
    let (alice, bob) = (one.user("alice").await, two.user("bob").await);
    let (phone, brief) = (Gateway::start().await, Gateway::start().await);
    set(&bob, phone.pusher("phone")).await;
    let mut wish = brief.pusher("brief");
    wish["data"]["format"] = json!("event_id_only");
    wish["data"]["org.matrix.msc4076.disable_badge_count"] = json!(true);
    set(&bob, wish).await;

    // An invite is pushed, loudly.
    let room = alice.create_room(json!({ "name": "Tea", "invite": [bob.id] })).await;
    bob.wait_for("invite", |sync| sync["rooms"]["invite"][&room].is_object().then_some(())).await;
    while phone.sent().is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let invite = phone.sent()[0].clone();
    assert_eq!((&invite["type"], &invite["user_is_target"]), (&json!("m.room.member"), &json!(true)), "{invite:#}");
    assert_eq!((&invite["prio"], &invite["devices"][0]["tweaks"]["sound"]), (&json!("high"), &json!("default")));
    bob.join(&room).await;
    bob.say(&room, "mine").await;
    let name = format!("profile/{}/displayname", seg(&alice.id));
    let _ = alice.put(&name, json!({ "displayname": "Alice" })).await.ok();

    let hello = alice.say(&room, "hello").await;
    let push = phone.wait_for(&hello).await;
    let since = push["devices"][0]["pushkey_ts"].clone();
    let expected = json!({
        "event_id": hello, "room_id": room, "type": "m.room.message", "sender": alice.id, "sender_display_name": "Alice",
        "room_name": "Tea", "user_is_target": false, "prio": "high", "counts": { "unread": 1 },
        "content": { "msgtype": "m.text", "body": "hello" },
        "devices": [{ "app_id": "org.example.app", "pushkey": "phone", "data": { "brand": "b" },
            "tweaks": { "sound": "default" }, "pushkey_ts": since }],
    });
    assert_eq!(push, expected);
    let push = brief.wait_for(&hello).await;
    assert!(push.get("content").is_none() && push.get("sender").is_none() && push.get("counts").is_none(), "{push:#}");
    assert_eq!((&push["room_id"], &push["devices"][0]["data"]["format"]), (&json!(room), &json!("event_id_only")));
    // Nothing of one's own, nothing that is quiet, nothing of those who are ignored.
    alice.send(&room, "m.room.message", json!({ "msgtype": "m.notice", "body": "a notice" })).await;
    let pest = one.user("pest").await;
    alice.invite(&room, &pest).await;
    pest.join(&room).await;
    let _ =
        bob.put(&bob.own("account_data/m.ignored_user_list"), json!({ "ignored_users": { &pest.id: {} } })).await.ok();
    // It is her node that evaluates the message: his list was written on the other.
    let ignoring = |sync: &Value| {
        let all = sync["account_data"]["events"].as_array()?.iter();
        all.filter(|it| it["type"] == "m.ignored_user_list").map(drop).next()
    };
    bob.on(&one).wait_for("his list on her node", ignoring).await;
    pest.say(&room, "buy").await;
    let second = alice.say(&room, "second").await;
    assert_eq!(phone.wait_for(&second).await["counts"]["unread"], 2);
    assert_eq!(phone.events().len(), 3, "the invite, and two words of alice's: {:#?}", phone.sent());
    let page = bob.get("notifications?limit=1").await.ok();
    assert_eq!(page["notifications"][0]["event"]["event_id"], second, "{page:#}");
    assert_eq!(
        (&page["notifications"][0]["read"], &page["notifications"][0]["actions"][0]),
        (&json!(false), &json!("notify"))
    );
    let rest = bob.get(&format!("notifications?from={}", page["next_token"].as_str().expect("a token"))).await.ok();
    assert_eq!(
        rest["notifications"].as_array().expect("a list").last().expect("the first")["event"]["event_id"],
        hello
    );
    assert!(list(&bob.get("notifications?only=highlight").await.ok()["notifications"]).is_empty());

    // Read on another device, at another node: the number on the icon falls, told once, and only where it is wanted.
    let laptop = bob.new_device().await.on(&one);
    // What two nodes took in the same second both may tell: the new rules are told first.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = phone.badges().len();
    read(&laptop, &room, &hello, json!({})).await;
    let badge = phone.wait_for_badge(1).await;
    let expected = json!({ "prio": "low", "counts": { "unread": 1 }, "devices": [{ "app_id": "org.example.app",
        "pushkey": "phone", "data": { "brand": "b" }, "pushkey_ts": since }] });
    assert_eq!(badge, expected);
    read(&laptop, &room, &second, json!({})).await;
    phone.wait_for_badge(0).await;
    // Another receipt, at the other node, says nothing new: neither to that one nor to the one that looks after it.
    read(&bob, &room, &second, json!({ "thread_id": "main" })).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!((&phone.badges()[before..], brief.badges().len()), (&[1, 0][..], 0), "{:#?}", phone.sent());

    // A gateway that hangs, fails or lies holds nobody else, and hears of what is still unread when it is back.
    let mut missed = Vec::new();
    for manner in [Manner::Fail, Manner::Lie] {
        brief.behave(manner);
        missed.push(alice.say(&room, "into the void").await);
        phone.wait_for(missed.last().expect("one")).await;
    }
    brief.wait_for(&missed[0]).await;
    let before = brief.events().len();
    read(&bob, &room, &missed[0], json!({})).await;
    brief.behave(Manner::Take);
    brief.wait_for(&missed[1]).await;
    assert!(!brief.events()[before..].contains(&missed[0]), "what is read by then is not pushed");
    let normal = alice.say(&room, "as usual").await;
    brief.wait_for(&normal).await;

    // A node dies with what it has not delivered: the other node delivers it.
    phone.behave(Manner::Hang);
    let last = alice.say(&room, "last words").await;
    phone.wait_for(&last).await;
    cluster.nodes[0].kill();
    phone.behave(Manner::Take);
    let before = phone.events().len();
    let begin = std::time::Instant::now();
    while !phone.events()[before..].contains(&last) {
        assert!(begin.elapsed() < Duration::from_secs(60), "the other node has not pushed: {:?}", phone.events());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // Once each, apart from what a gateway refused, and from what a dying node could not note any more.
    for event in [&hello, &second] {
        assert_eq!(phone.events().iter().filter(|it| *it == event).count(), 1, "{:?}", phone.events());
    }

    // A key that is not known any more goes.
    cluster.nodes[0].up();
    cluster.nodes[0].ready(Duration::from_secs(60)).await;
    phone.behave(Manner::Reject);
    let rejected = alice.say(&room, "anybody?").await;
    phone.wait_for(&rejected).await;
    let begin = std::time::Instant::now();
    while keys(&bob).await != ["brief"] {
        assert!(begin.elapsed() < Duration::from_secs(10), "the rejected key is still there");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
