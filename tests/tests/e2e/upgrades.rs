//! Upgrades of large rooms, and upgrades that are cut short.

use std::time::{Duration, Instant};

use futures::{StreamExt as _, stream};
use roost_tests::{
    Cluster,
    http::text,
    shared,
    sync::list,
    turn,
    user::{User, at},
};
use serde_json::{Value, json};

/// From the end of one node until another has gone on with its upgrade.
const TAKEN_OVER: Duration = Duration::from_secs(90);

/// A room of Alice's from which so many are banned.
async fn with_bans(alice: &User, count: usize) -> String {
    let room = alice.public_room("of many enemies").await;
    let bans = stream::iter(0..count).map(async |n| {
        let whom = format!("@enemy{n}:elsewhere.example");
        let _ = alice.post(&at(&room, "ban"), json!({ "user_id": whom, "reason": "no" })).await.ok();
    });
    bans.buffer_unordered(8).collect::<Vec<()>>().await;
    room
}

async fn bans(user: &User, room: &str) -> usize {
    let members = user.get(&at(room, "members?membership=ban")).await;
    list(&members.body["chunk"]).len()
}

/// The room that `room`'s tombstone names.
async fn replacement(user: &User, room: &str) -> Option<String> {
    let tombstone = user.state(room, "m.room.tombstone", "").await;
    (tombstone.status == 200).then(|| text(&tombstone.body["replacement_room"]))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_room_is_upgraded_piece_by_piece_and_a_repeated_request_gets_the_same_room() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let room = with_bans(&alice, 120).await;
    let override_levels = alice.state(&room, "m.room.power_levels", "").await.ok();
    let upgrade = async || alice.post(&at(&room, "upgrade"), json!({ "new_version": "11" })).await;
    // Both at once: one makes it, the other gets it.
    let (one, other) = futures::join!(upgrade(), upgrade());
    let (one, other) = (text(&one.ok()["replacement_room"]), text(&other.ok()["replacement_room"]));
    assert_eq!(one, other);
    assert_eq!(text(&upgrade().await.ok()["replacement_room"]), one);
    assert_eq!(replacement(&alice, &room).await, Some(one.clone()));
    assert_eq!(bans(&alice, &one).await, 120);
    let levels = alice.state(&one, "m.room.power_levels", "").await.ok();
    assert_eq!(levels["state_default"], override_levels["state_default"]);
    bob.join(&one).await;
    // Another version is another wish.
    let newer = alice.post(&at(&room, "upgrade"), json!({ "new_version": "12" })).await.ok();
    assert_ne!(text(&newer["replacement_room"]), one);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_node_goes_on_with_an_upgrade_whose_node_was_killed() {
    let _turn = turn::alone().await;
    let mut cluster = Cluster::start(2).await;
    let alice = cluster.server(0).user("alice").await;
    let there = alice.on(&cluster.server(1));
    let room = with_bans(&alice, 400).await;
    let alias = json!({ "room_id": room });
    let _ = alice.put("directory/room/%23enemies:localhost", alias).await.ok();

    let asking = tokio::spawn({
        let (alice, room) = (alice.on(&cluster.server(0)), room.clone());
        async move {
            alice
                .server
                .try_call("POST", &at(&room, "upgrade"), Some(&alice.token), Some(&json!({ "new_version": "12" })))
                .await
        }
    });
    let begun = "SELECT count(*) FROM upgrade u JOIN room r ON r.nr = u.successor WHERE u.done_ts IS NULL";
    let begin = Instant::now();
    while cluster.postgres.number(begun).await == 0 {
        assert!(begin.elapsed() < Duration::from_secs(60), "the upgrade never began");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    cluster.nodes[0].kill();
    let answer = asking.await.expect("a request");
    assert!(answer.is_err(), "it was cut short: {:?}", answer.map(|reply| reply.body));

    let begin = Instant::now();
    let new = loop {
        if let Some(new) = replacement(&there, &room).await
            && cluster.postgres.number("SELECT count(*) FROM upgrade WHERE done_ts IS NULL").await == 0
        {
            break new;
        }
        assert!(begin.elapsed() < TAKEN_OVER, "nobody goes on with the upgrade");
        tokio::time::sleep(Duration::from_millis(500)).await;
    };
    println!("gone on with after {:.1?}", begin.elapsed());
    assert_eq!(bans(&there, &new).await, 400);
    let leads_to = there.get("directory/room/%23enemies:localhost").await.ok();
    assert_eq!(leads_to["room_id"], new.as_str());
    // Whoever asks again gets the room that was made, and no further one.
    let again: Value = there.post(&at(&room, "upgrade"), json!({ "new_version": "12" })).await.ok();
    assert_eq!(again["replacement_room"], new.as_str());
    assert_eq!(cluster.postgres.number("SELECT count(*) FROM room").await, 2);
}
