//! What stays of edits and threads when some of them are no good, taken back, or said by users whom one ignores.

use roost_tests::{
    http::{seg, text},
    shared,
    sync::{ids, list},
    turn,
    user::User,
};
use serde_json::{Value, json};

fn answer(root: &str, words: &str) -> Value {
    json!({ "msgtype": "m.text", "body": words, "m.relates_to": { "rel_type": "m.thread", "event_id": root } })
}

fn edit(target: &str, new: Value) -> Value {
    let mut content =
        json!({ "msgtype": "m.text", "body": "*", "m.relates_to": { "rel_type": "m.replace", "event_id": target } });
    if !new.is_null() {
        content["m.new_content"] = new;
    }
    content
}

/// The body that the edit bundled with an event says.
async fn edited(user: &User, room: &str, event: &str) -> Value {
    let event = user.event(room, event).await.ok();
    event["unsigned"]["m.relations"]["m.replace"]["content"]["m.new_content"]["body"].clone()
}

async fn threads(user: &User, room: &str, query: &str) -> Value {
    user.get(&format!("/_matrix/client/v1/rooms/{}/threads{query}", seg(room))).await.ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_good_edit_is_shown_however_many_bad_ones_follow() {
    let _turn = turn::shared().await;
    let (one, two) = shared::nodes().await;
    let (alice, bob) = (one.user("alice").await, one.user("bob").await);
    let there = bob.on(&two);
    let room = alice.public_room("edits").await;
    bob.join(&room).await;
    let event = alice.say(&room, "first").await;
    for words in ["second", "third"] {
        alice.send(&room, "m.room.message", edit(&event, json!({ "msgtype": "m.text", "body": words }))).await;
    }
    let good = json!("third");
    for bad in [Value::Null, json!("text"), json!(["a list"])] {
        for _ in 0..5 {
            alice.send(&room, "m.room.message", edit(&event, bad.clone())).await;
        }
    }
    // These look like edits to whoever does not look closely.
    for _ in 0..12 {
        let mut nested = edit(&event, Value::Null);
        nested["org.example.nested"] = json!({ "m.new_content": {} });
        alice.send(&room, "m.room.message", nested).await;
    }
    assert_eq!(edited(&bob, &room, &event).await, good);
    let last = alice.say(&room, "last").await;
    there.wait_for_event(&room, &last).await;
    assert_eq!(edited(&there, &room, &event).await, good);
    // Who left sees what was said by then, whatever came since.
    bob.leave(&room).await;
    for n in 0..10 {
        alice.send(&room, "m.room.message", edit(&event, json!({ "msgtype": "m.text", "body": n.to_string() }))).await;
    }
    assert_eq!(edited(&alice, &room, &event).await, "9");
    assert_eq!(edited(&bob, &room, &event).await, good);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thread_stands_where_the_newest_answer_that_is_left_stands() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let alice = server.user("alice").await;
    let room = alice.public_room("threads").await;
    let mut roots = Vec::new();
    for n in 0..3 {
        let root = alice.say(&room, &format!("root {n}")).await;
        alice.send(&room, "m.room.message", answer(&root, "first")).await;
        roots.push(root);
    }
    let of = |places: &[usize]| places.iter().map(|n| roots[*n].clone()).collect::<Vec<_>>();
    let order = async || ids(&list(&threads(&alice, &room, "").await["chunk"]));
    let second = alice.send(&room, "m.room.message", answer(&roots[0], "second")).await;
    let third = alice.send(&room, "m.room.message", answer(&roots[0], "third")).await;
    assert_eq!(order().await, of(&[0, 2, 1]));
    alice.redact(&room, &second).await;
    assert_eq!(order().await, of(&[0, 2, 1]), "the last one is still there");
    alice.redact(&room, &third).await;
    assert_eq!(order().await, of(&[2, 1, 0]));
    // Without an answer it is no thread, and with one it is again.
    let only = list(&threads(&alice, &room, "").await["chunk"])[2]["unsigned"]["m.relations"]["m.thread"].clone();
    alice.redact(&room, &text(&only["latest_event"]["event_id"])).await;
    assert_eq!(order().await, of(&[2, 1]));
    alice.send(&room, "m.room.message", answer(&roots[0], "again")).await;
    assert_eq!(order().await, of(&[0, 2, 1]));
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_threads_show_each_once_though_answers_come_between_them() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let alice = server.user("alice").await;
    let room = alice.public_room("pages").await;
    let mut roots = Vec::new();
    for n in 0..7 {
        let root = alice.say(&room, &format!("root {n}")).await;
        alice.send(&room, "m.room.message", answer(&root, "first")).await;
        roots.push(root);
    }
    let mut seen = Vec::new();
    let mut from = String::new();
    for page in 0.. {
        let answered = threads(&alice, &room, &format!("?limit=2{from}")).await;
        seen.extend(ids(&list(&answered["chunk"])));
        let Some(next) = answered["next_batch"].as_str() else { break };
        from = format!("&from={}", seg(next));
        // One that is still to come, one that was shown, and a new one.
        alice.send(&room, "m.room.message", answer(&roots[page], "more")).await;
        alice.send(&room, "m.room.message", answer(&roots[6], "more")).await;
        let new = alice.say(&room, "new").await;
        alice.send(&room, "m.room.message", answer(&new, "first")).await;
    }
    roots.reverse();
    assert_eq!(seen, roots);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_root_of_an_ignored_user_comes_redacted() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let room = alice.public_room("ignored").await;
    bob.join(&room).await;
    let root = bob.say(&room, "loud").await;
    bob.send(&room, "m.room.message", edit(&root, json!({ "msgtype": "m.text", "body": "louder" }))).await;
    alice.send(&room, "m.room.message", answer(&root, "please")).await;
    let ignored = json!({ "ignored_users": { &bob.id: {} } });
    let _ = alice.put(&alice.own("account_data/m.ignored_user_list"), ignored).await.ok();
    let shown = threads(&alice, &room, "").await["chunk"][0].clone();
    assert_eq!((&shown["event_id"], &shown["sender"], &shown["content"]), (&json!(root), &json!(bob.id), &json!({})));
    assert_eq!(shown["unsigned"]["m.relations"]["m.thread"]["count"], 1, "{shown}");
    assert!(!shown.to_string().contains("loud"), "{shown}");
    assert_eq!(threads(&bob, &room, "").await["chunk"][0]["content"]["body"], "loud");
}
