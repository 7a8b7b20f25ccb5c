//! Unread counts, pushers, and what reaches a push gateway.

use roost_tests::{
    User,
    http::seg,
    shared,
    sync::{filter, joined, timeline},
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
    // One's own words are not unread, and nobody reads for others.
    bob.say(&room, "mine").await;
    assert_eq!(unread(&elsewhere, &room).await, (1, 0));
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
    both((2, 1), "one's own words").await;

    // A keyword of one's own, on top of everything else.
    let keyword = json!({ "pattern": "tea", "actions": ["notify", { "set_tweak": "highlight" }] });
    let _ = bob.put("pushrules/global/content/tea", keyword).await.ok();
    let last = alice.say(&room, "a cup of TEA?").await;
    both((3, 2), "a keyword").await;
    // Muted: nothing counts but what still notifies.
    let _ = bob.put(&format!("pushrules/global/room/{}", seg(&room)), json!({ "actions": [] })).await.ok();
    both((1, 1), "a muted room").await;
    alice.say(&room, "psst").await;
    alice.send(&room, "m.room.message", mention("psst", &bob)).await;
    both((2, 2), "mentions in a muted room").await;
    let _ = bob.delete(&format!("pushrules/global/room/{}", seg(&room)), None).await.ok();
    both((5, 3), "loud again").await;
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
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
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
