//! Reading rooms: who may look back, markers that only move forward, and two nodes that show the same.

use roost_tests::{
    http::{seg, text},
    shared,
    sync::{bodies, find, ids, joined, list, strings},
    timeline::history,
    turn,
    user::{User, at},
};
use serde_json::{Value, json};

/// `POST …/receipt/{kind}/{event}`
async fn mark(user: &User, room: &str, kind: &str, event: &str, body: Value) -> roost_tests::http::Reply {
    user.post(&at(room, &format!("receipt/{kind}/{}", seg(event))), body).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_former_member_keeps_what_they_saw_and_sees_nothing_new() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let room = alice.public_room("then").await;
    bob.join(&room).await;
    alice.say(&room, "with you").await;
    let _ = alice.moderate("ban", &room, &bob).await.ok();
    alice.say(&room, "without you").await;
    let _ = alice.set_state(&room, "m.room.name", "", json!({ "name": "now" })).await.ok();

    let mut seen = history(&bob, &room, "b").await;
    seen.reverse();
    assert_eq!(bodies(&seen), ["with you"]);
    assert_eq!(seen[0]["content"]["membership"], "ban");
    let memberships: Vec<_> = seen.iter().map(|it| it["unsigned"]["membership"].clone()).collect();
    assert_eq!((&memberships[..2], memberships.last()), (&[json!("ban"), json!("join")][..], Some(&json!("leave"))));
    assert_eq!(bob.state(&room, "m.room.name", "").await.ok()["name"], "then");
    assert_eq!(alice.state(&room, "m.room.name", "").await.ok()["name"], "now");
    bob.get(&at(&room, "joined_members")).await.is(403, "M_FORBIDDEN");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_refused_an_invitation_has_seen_nothing() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let room = alice.create_room(json!({ "preset": "private_chat" })).await;
    alice.invite(&room, &bob).await;
    bob.leave(&room).await;
    for path in ["state", "members", "messages?dir=b"] {
        bob.get(&at(&room, path)).await.is(403, "M_FORBIDDEN");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn markers_only_move_forward() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let room = alice.public_room("a room").await;
    bob.join(&room).await;
    let (one, two) = (alice.say(&room, "one").await, alice.say(&room, "two").await);
    let _ = mark(&bob, &room, "m.read", &two, json!({})).await.ok();
    alice.sync().await;

    let _ = mark(&bob, &room, "m.read", &one, json!({})).await.ok();
    let again = alice.sync_with("timeout=300").await;
    assert!(list(&joined(&again, &room)["ephemeral"]["events"]).is_empty(), "{again}");

    let _ = mark(&bob, &room, "m.fully_read", &two, json!({})).await.ok();
    let _ = mark(&bob, &room, "m.fully_read", &one, json!({})).await.ok();
    let marker = bob.get(&bob.own(&format!("rooms/{}/account_data/m.fully_read", seg(&room)))).await.ok();
    assert_eq!(marker, json!({ "event_id": two }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_stands_in_its_room_and_in_its_thread() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let room = alice.public_room("a room").await;
    let other = alice.public_room("another").await;
    let (root, elsewhere) = (alice.say(&room, "root").await, alice.say(&other, "elsewhere").await);
    let relation = json!({ "rel_type": "m.thread", "event_id": root });
    let reply = json!({ "msgtype": "m.text", "body": "reply", "m.relates_to": relation });
    let reply = alice.send(&room, "m.room.message", reply).await;
    let reaction = json!({ "m.relates_to": { "rel_type": "m.annotation", "event_id": reply, "key": "+" } });
    let reaction = alice.send(&room, "m.reaction", reaction).await;

    for (event, thread) in [(&root, "main"), (&root, &*root), (&reply, &*root), (&reaction, &*root)] {
        let _ = mark(&alice, &room, "m.read", event, json!({ "thread_id": thread })).await.ok();
    }
    for (event, thread) in [
        (&reply, json!("main")),
        (&root, json!(reply)),
        (&root, json!("")),
        (&root, json!("root")),
        (&root, json!(7)),
        (&root, json!(null)),
    ] {
        mark(&alice, &room, "m.read", event, json!({ "thread_id": thread })).await.is(400, "M_INVALID_PARAM");
    }
    mark(&alice, &room, "m.fully_read", &root, json!({ "thread_id": "main" })).await.is(400, "M_INVALID_PARAM");
    mark(&alice, &room, "m.seen", &root, json!({})).await.is(400, "M_INVALID_PARAM");
    mark(&alice, &room, "m.read", &elsewhere, json!({})).await.is(404, "M_NOT_FOUND");
    mark(&bob, &room, "m.read", &root, json!({})).await.is(403, "M_FORBIDDEN");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_chooses_what_a_page_holds() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let room = alice.public_room("a room").await;
    bob.join(&room).await;
    for n in 0..30 {
        alice.say(&room, &n.to_string()).await;
    }
    bob.say(&room, "bob's").await;
    let picture = json!({ "msgtype": "m.image", "body": "picture", "url": "mxc://localhost/x" });
    bob.send(&room, "m.room.message", picture).await;
    let page = async |filter: Value| {
        let query = format!("dir=b&limit=5&filter={}", seg(&filter.to_string()));
        alice.messages(&room, &query).await
    };

    assert_eq!(bodies(&list(&page(json!({ "senders": [bob.id] })).await["chunk"])), ["picture", "bob's"]);
    assert_eq!(bodies(&list(&page(json!({ "contains_url": true })).await["chunk"])), ["picture"]);
    assert_eq!(bodies(&list(&page(json!({ "not_senders": [bob.id], "limit": 2 })).await["chunk"])), ["29", "28"]);
    let named = page(json!({ "types": ["m.room.n*"] })).await;
    assert_eq!(list(&named["chunk"]).iter().map(|it| it["type"].clone()).collect::<Vec<_>>(), ["m.room.name"]);
    // Nothing is older, which the page behind it says.
    let end = seg(&text(&named["end"]));
    let filter = seg(&json!({ "types": ["m.room.n*"] }).to_string());
    let behind = alice.messages(&room, &format!("dir=b&limit=5&filter={filter}&from={end}")).await;
    assert!(list(&behind["chunk"]).is_empty() && behind["end"].is_null(), "{behind}");
    assert!(list(&page(json!({ "types": [] })).await["chunk"]).is_empty());
    let lazy = page(json!({ "lazy_load_members": true, "not_senders": [alice.id] })).await;
    let members = list(&lazy["state"]);
    assert!(find(&members, "m.room.member", Some(&bob.id)).is_some() && members.len() == 1, "{lazy}");
}

#[tokio::test(flavor = "multi_thread")]
async fn both_nodes_see_a_redaction_and_who_is_typing() {
    let _turn = turn::shared().await;
    let (one, two) = shared::nodes().await;
    let (alice, bob) = (one.user("alice").await, two.user("bob").await);
    let room = alice.public_room("across nodes").await;
    bob.join(&room).await;
    let said = alice.say(&room, "a secret").await;
    bob.wait_for_event(&room, &said).await;
    assert_eq!(bob.event(&room, &said).await.ok()["content"]["body"], "a secret");

    let redaction = alice.redact(&room, &said).await;
    bob.wait_for_event(&room, &redaction).await;
    let event = bob.event(&room, &said).await.ok();
    assert_eq!(
        (&event["content"], &event["unsigned"]["redacted_because"]["event_id"]),
        (&json!({}), &json!(redaction))
    );
    assert_eq!(ids(&history(&bob, &room, "f").await), ids(&history(&alice, &room, "f").await));

    let typing = at(&room, &format!("typing/{}", seg(&alice.id)));
    let typists = |sync: &Value| {
        let events = list(&joined(sync, &room)["ephemeral"]["events"]);
        find(&events, "m.typing", None).map(|it| strings(&it["content"]["user_ids"]))
    };
    let _ = alice.put(&typing, json!({ "typing": true, "timeout": 20_000 })).await.ok();
    assert_eq!(bob.wait_for("typing", typists).await, [alice.id.as_str()]);
    // A device that moves to the other node is told there what changes from then on.
    let moved = bob.on(&one);
    let _ = alice.put(&typing, json!({ "typing": false })).await.ok();
    assert_eq!(moved.wait_for("the end of typing", typists).await, Vec::<String>::new());
    assert_eq!(bob.wait_for("the end of typing", typists).await, Vec::<String>::new());
}
