//! Receipts of two nodes that are set at once: none goes back.

use std::collections::HashMap;

use roost_tests::{
    User,
    http::seg,
    seed::Seed,
    shared,
    sync::{joined, list},
    turn,
    user::at,
};
use serde_json::{Value, json};

/// The places of a user's receipts that a sync shows, by kind and thread.
fn shown(sync: &Value, room: &str, user: &str, places: &HashMap<String, usize>) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    for event in list(&joined(sync, room)["ephemeral"]["events"]).iter().filter(|event| event["type"] == "m.receipt") {
        for (id, kinds) in event["content"].as_object().into_iter().flatten() {
            for (kind, users) in kinds.as_object().into_iter().flatten() {
                if let Some(receipt) = users.get(user) {
                    let thread = receipt["thread_id"].as_str().unwrap_or("all");
                    found.push((format!("{kind} {thread}"), places[id]));
                }
            }
        }
    }
    found
}

async fn mark(user: &User, room: &str, kind: &str, thread: Option<&str>, event: &str) {
    let body = thread.map_or_else(|| json!({}), |thread| json!({ "thread_id": thread }));
    let _ = user.post(&at(room, &format!("receipt/{kind}/{}", seg(event))), body).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn receipts_of_two_nodes_never_go_back() {
    let _turn = turn::shared().await;
    let mut seed = Seed::announced("receipts_of_two_nodes_never_go_back");
    let (one, two) = shared::nodes().await;
    let (alice, bob) = (one.user("alice").await, one.user("bob").await);
    let room = alice.public_room("receipts").await;
    bob.join(&room).await;
    let root = alice.say(&room, "root").await;
    let (mut main, mut thread) = (vec![root.clone()], vec![root.clone()]);
    for _ in 0..12 {
        main.push(alice.say(&room, "main").await);
        let relation = json!({ "rel_type": "m.thread", "event_id": root });
        thread.push(alice.send(&room, "m.room.message", json!({ "body": "in it", "m.relates_to": relation })).await);
    }
    let all: Vec<String> = main.iter().zip(&thread).flat_map(|(one, two)| [one.clone(), two.clone()]).collect();
    let places: HashMap<String, usize> = all.iter().enumerate().map(|(at, id)| (id.clone(), at)).collect();
    let elsewhere = [bob.on(&one), bob.on(&two)];
    let watchers = [bob.on(&one), bob.on(&two)];
    let mut last: [HashMap<String, usize>; 2] = Default::default();
    let mut highest: HashMap<String, usize> = HashMap::new();
    for watcher in &watchers {
        watcher.wait_for_event(&room, &main[12]).await;
    }
    for _ in 0..60 {
        let kind = ["m.read", "m.read.private"][seed.below(2)];
        let (name, events) = [("all", &all), ("main", &main), (root.as_str(), &thread)][seed.below(3)];
        let picked = [&events[seed.below(events.len())], &events[seed.below(events.len())]];
        let name = (name != "all").then_some(name);
        tokio::join!(
            mark(&elsewhere[0], &room, kind, name, picked[0]),
            mark(&elsewhere[1], &room, kind, name, picked[1])
        );
        let key = format!("{kind} {}", name.unwrap_or("all"));
        let most = highest.entry(key).or_default();
        *most = places[picked[0]].max(places[picked[1]]).max(*most);
        for (watcher, last) in watchers.iter().zip(&mut last) {
            for (key, place) in shown(&watcher.sync().await, &room, &bob.id, &places) {
                let before = last.insert(key.clone(), place).unwrap_or(0);
                assert!(place >= before, "{key} went from {before} back to {place}");
            }
        }
    }
    // In the end everybody knows the furthest.
    for (watcher, last) in watchers.iter().zip(&mut last) {
        watcher
            .wait_for("the furthest receipts", |sync| {
                last.extend(shown(sync, &room, &bob.id, &places));
                (*last == highest).then_some(())
            })
            .await;
        watcher.start_over();
        let first: HashMap<String, usize> = shown(&watcher.sync().await, &room, &bob.id, &places).into_iter().collect();
        assert_eq!(first, highest);
    }
}
