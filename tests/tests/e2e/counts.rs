//! What counts as unread, and what ends it besides receipts.

use roost_tests::{
    User,
    http::seg,
    shared,
    sync::{filter, joined},
    turn,
};
use serde_json::{Value, json};

/// The main timeline's count, and those of the threads.
async fn counts(user: &User, room: &str) -> (u64, Value) {
    user.start_over();
    let wish = json!({ "room": { "timeline": { "unread_thread_notifications": true } } });
    let sync = user.try_sync(&format!("timeout=0&filter={}", filter(&wish))).await.ok();
    let room = joined(&sync, room);
    let main = room["unread_notifications"]["notification_count"].as_u64().expect("a count");
    let mut threads = match &room["unread_thread_notifications"] {
        Value::Null => json!({}),
        threads => threads.clone(),
    };
    for thread in threads.as_object_mut().into_iter().flat_map(|threads| threads.values_mut()) {
        *thread = thread["notification_count"].clone();
    }
    (main, threads)
}

fn in_thread(root: &str) -> Value {
    json!({ "msgtype": "m.text", "body": "in the thread", "m.relates_to": { "event_id": root, "rel_type": "m.thread" } })
}

async fn same_on(readers: [&User; 2], room: &str, event: &str, expected: (u64, Value)) {
    for reader in readers {
        reader.start_over();
        reader.wait_for_event(room, event).await;
        assert_eq!(counts(reader, room).await, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn memberships_count_for_whom_they_notify_also_in_a_room_that_the_node_never_saw() {
    let _turn = turn::shared().await;
    let (one, two) = shared::nodes().await;
    let (alice, bob, carol) = (one.user("alice").await, one.user("bob").await, two.user("carol").await);
    let rule = "pushrules/global/override/.m.rule.member_event/actions";
    let _ = alice.put(rule, json!({ "actions": ["notify"] })).await.ok();
    for (how_many, whom) in [(2, &carol), (1, &bob)] {
        let room = alice.public_room("comings and goings").await;
        if how_many == 2 {
            bob.join(&room).await;
            bob.leave(&room).await;
            let (count, _) = counts(&alice, &room).await;
            assert_eq!(count, 2, "on the node that has the room in memory");
            let last = alice.say(&room, "read").await;
            same_on([&alice, &alice.on(&two)], &room, &last, (0, json!({}))).await;
        }
        // The other node meets the room with this.
        whom.join(&room).await;
        alice.wait_for("join", |sync| sync.to_string().contains(&whom.id).then_some(())).await;
        assert_eq!(counts(&alice, &room).await.0, 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_writes_has_read_what_stands_before_in_that_timeline() {
    let _turn = turn::shared().await;
    let (one, two) = shared::nodes().await;
    let (alice, bob) = (one.user("alice").await, one.user("bob").await);
    // The same reader on a node that begins with what the database says.
    let there = alice.on(&two);
    for asked_before in [true, false] {
        let room = bob.public_room("talk").await;
        alice.join(&room).await;
        let root = bob.say(&room, "root").await;
        bob.say(&room, "one").await;
        bob.send(&room, "m.room.message", in_thread(&root)).await;
        let mention = json!({ "body": "you", "m.mentions": { "user_ids": [alice.id] } });
        let last = bob.send(&room, "m.room.message", mention).await;
        let before = (3, json!({ &root: 1 }));
        if asked_before {
            same_on([&alice, &there], &room, &last, before.clone()).await;
        }
        // A new name is told to every room, and nobody has read them for it.
        let named = json!({ "displayname": "Alice anew" });
        let _ = alice.put(&format!("profile/{}/displayname", seg(&alice.id)), named).await.ok();
        if asked_before {
            same_on([&alice, &there], &room, &last, before).await;
        }
        let answer = alice.send(&room, "m.room.message", in_thread(&root)).await;
        if asked_before {
            same_on([&alice, &there], &room, &answer, (3, json!({}))).await;
        }
        let reaction = json!({ "m.relates_to": { "rel_type": "m.annotation", "event_id": last, "key": "+" } });
        let reaction = alice.send(&room, "m.reaction", reaction).await;
        same_on([&alice, &there], &room, &reaction, (0, json!({}))).await;
        let more = bob.say(&room, "more").await;
        same_on([&alice, &there], &room, &more, (1, json!({}))).await;
        // What was said after an own message stays unread when something is taken back that stands before it.
        bob.redact(&room, &last).await;
        let end = bob.send(&room, "org.example.silent", json!({})).await;
        same_on([&alice, &there], &room, &end, (1, json!({}))).await;
    }
}
