//! What rooms cost in the database, what waiting costs, and what does not stay.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use futures::{StreamExt as _, stream};
use roost_tests::{
    node::Node,
    postgres::Postgres,
    sync::{filter, list, to_device},
    turn,
    user::at,
};
use serde_json::json;

const JOINS: usize = 10_000;
const BUDGET: i64 = 20_000_000;
const POLLS: usize = 1_000;
/// Transactions that the database may see while nothing happens.
const QUIET: i64 = 5;

/// One node with an own database and no NATS.
async fn node(settings: &[&str]) -> (Node, Postgres) {
    let postgres = Postgres::start_with(settings).await;
    let mut node = Node::start("alone", "localhost", &postgres.url(), None, "");
    node.ready(Duration::from_secs(60)).await;
    (node, postgres)
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_joins_cost_less_than_20_megabytes() {
    let _turn = turn::alone().await;
    let (node, postgres) = node(&[]).await;
    let server = node.server();
    let begin = std::time::Instant::now();
    let users: Vec<_> = stream::iter(0..JOINS).map(|_| server.user("u")).buffer_unordered(16).collect().await;
    println!("{JOINS} registrations in {:.1?}", begin.elapsed());
    let owner = &users[0];

    let before = postgres.table_bytes().await;
    let begin = std::time::Instant::now();
    let room = owner.public_room("everybody").await;
    stream::iter(&users[1..]).for_each_concurrent(16, |user| user.join(&room)).await;
    println!("{JOINS} joins in {:.1?}", begin.elapsed());
    let after = postgres.table_bytes().await;

    println!("the database grew by {:.2} MB", (after - before) as f64 / 1e6);
    assert!(after - before < BUDGET, "{JOINS} joins grew the database by {} bytes", after - before);
    let members = owner.get(&at(&room, "joined_members")).await.ok();
    assert_eq!(members["joined"].as_object().map(serde_json::Map::len), Some(JOINS));
    // The state that was squeezed is still all there.
    let all = list(&owner.get(&at(&room, "members?membership=join")).await.ok()["chunk"]);
    assert_eq!(all.len(), JOINS);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_idle_long_polls_leave_the_database_alone() {
    let _turn = turn::alone().await;
    // As many sockets as there are waiters, at either end; the server inherits the limit.
    let own = std::process::id().to_string();
    let _ = Command::new("prlimit").args(["--pid", &own, "--nofile=16384:"]).status();
    let (node, postgres) = node(&["autovacuum=off"]).await;
    let server = node.server();
    let owner = server.user("owner").await;
    let room = owner.public_room("a quiet room").await;
    let users: Vec<_> = stream::iter(0..POLLS).map(|_| server.user("u")).buffer_unordered(16).collect().await;
    stream::iter(&users).for_each_concurrent(16, |user| user.join(&room)).await;
    // Whoever waits for presence too is woken when somebody's changes.
    let quiet = filter(&json!({ "presence": { "not_types": ["*"] } }));
    let wait = |millis: u32| format!("timeout={millis}&filter={quiet}");
    stream::iter(&users)
        .for_each_concurrent(16, |user| async {
            user.sync_with(&wait(0)).await;
            user.sync_with(&wait(0)).await;
        })
        .await;

    let polls: Vec<_> = users
        .into_iter()
        .map(|user| (user, wait(120_000)))
        .map(|(user, wait)| tokio::spawn(async move { (user.sync_with(&wait).await, user) }))
        .collect();
    // Until all of them wait. PostgreSQL's backends tell what they did before when they were idle for ten seconds.
    tokio::time::sleep(Duration::from_secs(15)).await;
    let before = postgres.transactions().await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    let after = postgres.transactions().await;

    assert!(polls.iter().all(|it| !it.is_finished()), "a long-poll returned with nothing to say");
    println!("{POLLS} idle long-polls for 30 s: {} transactions", after - before);
    assert!(after - before <= QUIET, "the counters moved by {}", after - before);

    // They do wait for something: one message wakes them all.
    let event = owner.say(&room, "wake up").await;
    for poll in polls {
        let (sync, user) =
            tokio::time::timeout(Duration::from_secs(15), poll).await.expect("a woken long-poll").expect("a sync");
        assert_eq!(sync["rooms"]["join"][&room]["timeline"]["events"][0]["event_id"], event, "{}", user.id);
    }
}

/// A client repeats a request for seconds or minutes, never for days.
#[tokio::test(flavor = "multi_thread")]
async fn transaction_ids_are_forgotten_after_a_day() {
    let _turn = turn::shared().await;
    let (mut node, postgres) = node(&[]).await;
    let alice = node.server().user("alice").await;
    let room = alice.public_room("a room").await;
    let say = async |txn: &str| {
        let content = json!({ "msgtype": "m.text", "body": txn });
        alice.send_as(&room, "m.room.message", txn, content).await.ok()["event_id"].clone()
    };
    let (old, new) = (say("old").await, say("new").await);
    for txn in ["old", "new"] {
        alice.to_device_as(txn, &alice, "org.example.note", json!({ "txn": txn })).await;
    }
    let mut database = postgres.connect().await;
    let age = "update sent s set at = s.at - 25 * 60 from event e where e.nr = s.nr and e.id = $1";
    sqlx::query(age).bind(old.as_str()).execute(&mut database).await.unwrap();
    let age = "update to_device_txn set at = at - 25 * 3600 * 1000 where at = (select min(at) from to_device_txn)";
    assert_eq!(sqlx::query(age).execute(&mut database).await.unwrap().rows_affected(), 1);

    // What is too old is dropped at the start, and every hour.
    node.terminate().await;
    node.up();
    node.ready(Duration::from_secs(20)).await;
    let kept = "select (select count(*) from sent) * 10 + (select count(*) from to_device_txn)";
    let begin = Instant::now();
    while postgres.number(kept).await != 11 {
        assert!(begin.elapsed() < Duration::from_secs(10), "{} are kept", postgres.number(kept).await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    assert_eq!(say("new").await, new, "what is younger is known yet");
    assert_ne!(say("old").await, old, "what is older is a new message");
    for txn in ["old", "new"] {
        alice.to_device_as(txn, &alice, "org.example.note", json!({ "txn": txn })).await;
    }
    let came: Vec<_> = to_device(&alice.sync().await).iter().map(|it| it["content"]["txn"].clone()).collect();
    assert_eq!(came, ["old", "new", "old"]);
}
