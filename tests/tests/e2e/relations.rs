//! Events that relate to others: pages of them, the sums that come with events, threads.

use roost_tests::{
    http::{seg, text},
    shared,
    sync::{filter, find, ids, joined, list, strings, timeline},
    turn,
    user::{User, at, txn},
};
use serde_json::{Value, json};

fn relating(rel_type: &str, target: &str, words: &str) -> Value {
    json!({ "msgtype": "m.text", "body": words, "m.relates_to": { "rel_type": rel_type, "event_id": target } })
}

fn edit(target: &str, words: &str) -> Value {
    let mut content = relating("m.replace", target, &format!("* {words}"));
    content["m.new_content"] = json!({ "msgtype": "m.text", "body": words });
    content
}

/// `…/relations/{event}{rest}`
async fn relations(user: &User, room: &str, event: &str, rest: &str) -> Value {
    let path = format!("/_matrix/client/v1/rooms/{}/relations/{}{rest}", seg(room), seg(event));
    user.get(&path).await.ok()
}

async fn threads(user: &User, room: &str, query: &str) -> Value {
    user.get(&format!("/_matrix/client/v1/rooms/{}/threads{query}", seg(room))).await.ok()
}

/// What comes with an event.
async fn sums(user: &User, room: &str, event: &str) -> Value {
    user.event(room, event).await.ok()["unsigned"]["m.relations"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn children_are_paged_both_ways_by_type_and_by_generation() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let room = alice.public_room("relations").await;
    let root = alice.say(&room, "root").await;
    let mut answers = Vec::new();
    for i in 0..5 {
        answers.push(alice.send(&room, "m.room.message", relating("m.thread", &root, &format!("answer {i}"))).await);
    }
    let since = alice.sync().await["next_batch"].clone();
    let odd = alice.send(&room, "org.example.odd", relating("m.thread", &root, "odd")).await;
    let reaction = json!({ "m.relates_to": { "rel_type": "m.annotation", "event_id": answers[4], "key": "+" } });
    let reaction_id = alice.send(&room, "m.reaction", reaction.clone()).await;
    // A reply is no child.
    alice.send(&room, "m.room.message", json!({ "m.relates_to": { "m.in_reply_to": { "event_id": root } } })).await;

    let all = relations(&alice, &room, &root, "").await;
    let mut newest_first = answers.clone();
    newest_first.push(odd.clone());
    newest_first.reverse();
    assert_eq!(ids(&list(&all["chunk"])), newest_first);
    assert_eq!(all["chunk"][0]["room_id"], room);
    assert!(all.get("next_batch").is_none());
    assert_eq!(
        ids(&list(&relations(&alice, &room, &root, "/m.thread/m.room.message").await["chunk"])),
        newest_first[1..]
    );
    assert_eq!(relations(&alice, &room, &root, "/m.reference").await["chunk"], json!([]));
    assert_eq!(relations(&alice, &room, &root, "/org.example.unheard-of").await["chunk"], json!([]));

    for (query, order) in
        [("?limit=4", newest_first.clone()), ("?limit=4&dir=f", newest_first.iter().rev().cloned().collect())]
    {
        let first = relations(&alice, &room, &root, query).await;
        assert_eq!(ids(&list(&first["chunk"])), order[..4], "{query}");
        let second =
            relations(&alice, &room, &root, &format!("{query}&from={}", seg(&text(&first["next_batch"])))).await;
        assert_eq!(ids(&list(&second["chunk"])), order[4..], "{query}");
        assert!(second.get("next_batch").is_none());
    }
    let after_sync = relations(&alice, &room, &root, &format!("?dir=f&from={}", seg(&text(&since)))).await;
    assert_eq!(ids(&list(&after_sync["chunk"])), [odd.as_str()]);

    let family = relations(&alice, &room, &root, "?recurse=true").await;
    assert_eq!(family["recursion_depth"], 3);
    assert_eq!(ids(&list(&family["chunk"]))[0], reaction_id);
    let reactions = relations(&alice, &room, &root, "/m.annotation?recurse=true").await;
    assert_eq!(ids(&list(&reactions["chunk"])), [reaction_id.as_str()]);

    // The same again is refused, and after a redaction welcome.
    let again = alice.send_as(&room, "m.reaction", &txn(), reaction.clone()).await;
    again.is(400, "M_DUPLICATE_ANNOTATION");
    alice.redact(&room, &reaction_id).await;
    assert_eq!(relations(&alice, &room, &answers[4], "").await["chunk"], json!([]));
    alice.send(&room, "m.reaction", reaction).await;

    let path = format!("/_matrix/client/v1/rooms/{}/relations/{}", seg(&room), seg(&root));
    bob.get(&path).await.is(403, "M_FORBIDDEN");
    alice.get(&format!("/_matrix/client/v1/rooms/{}/relations/%24nothing", seg(&room))).await.is(404, "M_NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_brings_its_last_edit_its_thread_and_its_references() {
    let _turn = turn::shared().await;
    // What one node writes, the other knows of.
    let (one, two) = shared::nodes().await;
    let (alice, bob) = (one.user("alice").await, two.user("bob").await);
    let room = alice.public_room("sums").await;
    bob.join(&room).await;
    let root = alice.say(&room, "root").await;
    bob.wait_for_event(&room, &root).await;
    assert_eq!(sums(&bob, &room, &root).await, Value::Null);

    // Only the sender's own edits count, and the last of them.
    alice.send(&room, "m.room.message", edit(&root, "first")).await;
    let last = alice.send(&room, "m.room.message", edit(&root, "second")).await;
    let foreign = bob.send(&room, "m.room.message", edit(&root, "not mine to edit")).await;
    alice.wait_for_event(&room, &foreign).await;
    for user in [&alice, &bob] {
        let sums = sums(user, &room, &root).await;
        assert_eq!(sums["m.replace"]["event_id"], last, "{sums}");
        assert_eq!(sums["m.replace"]["content"]["m.new_content"]["body"], "second");
    }
    alice.redact(&room, &last).await;
    assert_eq!(sums(&alice, &room, &root).await["m.replace"]["content"]["m.new_content"]["body"], "first");

    let first = bob.send(&room, "m.room.message", relating("m.thread", &root, "one")).await;
    let second = alice.send(&room, "m.room.message", relating("m.thread", &root, "two")).await;
    let fixed = alice.send(&room, "m.room.message", edit(&second, "two, edited")).await;
    let pointer = bob.send(&room, "m.room.message", relating("m.reference", &root, "see there")).await;
    bob.wait_for_event(&room, &fixed).await;
    alice.wait_for_event(&room, &pointer).await;
    for user in [&alice, &bob] {
        let sums = sums(user, &room, &root).await;
        let thread = &sums["m.thread"];
        assert_eq!((&thread["count"], &thread["current_user_participated"]), (&json!(2), &json!(true)), "{sums}");
        assert_eq!(thread["latest_event"]["event_id"], second);
        assert_eq!(thread["latest_event"]["unsigned"]["m.relations"]["m.replace"]["event_id"], fixed);
        assert_eq!(sums["m.reference"], json!({ "chunk": [{ "event_id": pointer }] }));
    }

    // Wherever the root is shown, they come with it; a sync brings them where its timeline begins anew.
    let carol = two.user("carol").await;
    carol.join(&room).await;
    let shown = |events: &[Value]| {
        let root = events.iter().find(|event| event["event_id"] == root).expect("the root").clone();
        (
            root["unsigned"]["m.relations"]["m.thread"]["count"].clone(),
            root["unsigned"]["m.relations"]["m.thread"]["current_user_participated"].clone(),
        )
    };
    let not_mine = (json!(2), json!(false));
    assert_eq!(shown(&list(&carol.messages(&room, "dir=b&limit=50").await["chunk"])), not_mine);
    let context = carol.get(&at(&room, &format!("context/{}?limit=2", seg(&root)))).await.ok();
    assert_eq!(shown(&[context["event"].clone()]), not_mine);
    let wide = filter(&json!({ "room": { "timeline": { "limit": 50 } } }));
    assert_eq!(shown(&timeline(&carol.sync_with(&format!("timeout=0&filter={wide}")).await, &room)), not_mine);

    // Whom one ignores does not answer.
    let ignore = json!({ "ignored_users": { &alice.id: {} } });
    let _ = carol.put(&carol.own("account_data/m.ignored_user_list"), ignore).await.ok();
    let thread = sums(&carol, &room, &root).await["m.thread"].clone();
    assert_eq!((&thread["count"], &thread["latest_event"]["event_id"]), (&json!(1), &json!(first)));

    // Who has left does not hear what is said later.
    bob.leave(&room).await;
    let later = alice.send(&room, "m.room.message", relating("m.thread", &root, "three")).await;
    assert_eq!(sums(&alice, &room, &root).await["m.thread"]["latest_event"]["event_id"], later);
    assert_ne!(sums(&bob, &room, &root).await["m.thread"]["latest_event"]["event_id"], later);

    // Of what is redacted no edit is left.
    alice.redact(&room, &root).await;
    let rest = sums(&alice, &room, &root).await;
    assert!(rest.get("m.replace").is_none() && rest["m.thread"]["count"] == 3, "{rest}");
}

#[tokio::test(flavor = "multi_thread")]
async fn threads_are_listed_by_their_last_answer() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let room = alice.public_room("threads").await;
    bob.join(&room).await;
    let mut roots = Vec::new();
    for i in 0..3 {
        let root = bob.say(&room, &format!("root {i}")).await;
        bob.send(&room, "m.room.message", relating("m.thread", &root, "answer")).await;
        roots.push(root);
    }
    let latest = alice.send(&room, "m.room.message", relating("m.thread", &roots[0], "late")).await;

    let page = threads(&alice, &room, "?limit=2").await;
    assert_eq!(ids(&list(&page["chunk"])), [&*roots[0], &*roots[2]]);
    assert_eq!(page["chunk"][0]["unsigned"]["m.relations"]["m.thread"]["latest_event"]["event_id"], latest);
    let rest = threads(&alice, &room, &format!("?limit=2&from={}", seg(&text(&page["next_batch"])))).await;
    assert_eq!(ids(&list(&rest["chunk"])), [&*roots[1]]);
    assert!(rest.get("next_batch").is_none());
    assert_eq!(ids(&list(&threads(&alice, &room, "?include=participated").await["chunk"])), [&*roots[0]]);
    assert_eq!(list(&threads(&bob, &room, "?include=participated").await["chunk"]).len(), 3);

    // An answer can't be the root of another thread.
    let nested = bob.send_as(&room, "m.room.message", &txn(), relating("m.thread", &latest, "deeper")).await;
    nested.is(400, "M_UNKNOWN");

    // Filters by relation.
    for (wanted, count) in [
        (json!({ "org.matrix.msc3874.rel_types": ["m.thread"] }), 4),
        (json!({ "org.matrix.msc3874.not_rel_types": ["m.thread"], "types": ["m.room.message"] }), 3),
        (json!({ "rel_types": ["m.reference"] }), 0),
        (json!({ "related_by_rel_types": ["m.thread"] }), 3),
        (json!({ "related_by_rel_types": ["m.thread"], "related_by_senders": [alice.id] }), 1),
    ] {
        let found = alice.messages(&room, &format!("dir=b&limit=50&filter={}", filter(&wanted))).await;
        assert_eq!(list(&found["chunk"]).len(), count, "{wanted}");
    }

    // The last answer of a thread goes, and with it the thread.
    let sync = alice.sync().await;
    assert!(joined(&sync, &room).is_object() && find(&timeline(&sync, &room), "m.room.message", None).is_some());
    let only = ids(&list(&relations(&alice, &room, &roots[1], "/m.thread").await["chunk"]));
    bob.redact(&room, &only[0]).await;
    let left = ids(&list(&threads(&alice, &room, "").await["chunk"]));
    assert_eq!(left, strings(&json!([roots[0], roots[2]])));
}
