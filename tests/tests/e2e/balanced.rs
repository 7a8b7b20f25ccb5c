//! Clients behind a balancer that sends each request to whichever node: nobody is told anything without news, and nobody
//! misses any.

use std::{
    process::Command,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use futures::{StreamExt as _, future::join_all, stream};
use roost_tests::{Cluster, Server, User, http::seg, seed::Seed, sliding::Phone, sync::joined, turn};
use serde_json::{Value, json};

const NODES: usize = 3;
const CLIENTS: usize = 1_000;
const IN_A_ROOM: usize = 20;
/// How long a client asks to wait, and how long it is looked at.
const POLL: Duration = Duration::from_secs(4);
const LOOKED_AT: Duration = Duration::from_secs(12);

/// A client that chooses a node for each request.
struct Roamer {
    sides: Vec<User>,
    token: Mutex<Option<String>>,
    seed: Mutex<Seed>,
}

impl Roamer {
    fn new(user: &User, servers: &[Server], seed: Seed) -> Self {
        let sides = servers.iter().map(|server| user.on(server)).collect();
        Self { sides, token: Mutex::new(None), seed: Mutex::new(seed) }
    }

    /// One sync of a node; among the first `nodes` by chance.
    async fn sync(&self, nodes: usize, timeout: Duration) -> Value {
        let at = self.seed.lock().unwrap().below(nodes);
        self.sync_at(at, timeout).await
    }

    async fn sync_at(&self, at: usize, timeout: Duration) -> Value {
        let side = &self.sides[at];
        side.rewind(self.token.lock().unwrap().clone());
        let answer = side.sync_with(&format!("timeout={}", timeout.as_millis())).await;
        *self.token.lock().unwrap() = side.since();
        answer
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_idle_clients_are_told_nothing_whichever_node_they_ask() {
    let _turn = turn::alone().await;
    let own = std::process::id().to_string();
    let _ = Command::new("prlimit").args(["--pid", &own, "--nofile=16384:"]).status();
    let mut seed = Seed::announced("idle clients over three nodes");
    let cluster = Cluster::start(NODES).await;
    let servers: Vec<Server> = (0..NODES).map(|at| cluster.server(at)).collect();
    let servers = &servers;
    let made = stream::iter(0..CLIENTS).map(|n| async move { servers[n % NODES].user("u").await });
    let users: Vec<User> = made.buffer_unordered(16).collect().await;
    stream::iter(users.chunks(IN_A_ROOM))
        .for_each_concurrent(8, |users| async move {
            let room = users[0].public_room("a room").await;
            for user in &users[1..] {
                user.join(&room).await;
            }
        })
        .await;
    let clients: Vec<Roamer> = users.iter().map(|user| Roamer::new(user, servers, seed.branch())).collect();
    // All of them have come online, and have heard so of each other.
    let begin = Instant::now();
    stream::iter(&clients)
        .for_each_concurrent(16, |client| async { drop(client.sync_at(0, Duration::ZERO).await) })
        .await;
    for at in [0, 1, 2, 0] {
        tokio::time::sleep(Duration::from_secs(2)).await;
        join_all(clients.iter().map(|client| client.sync_at(at, Duration::from_secs(1)))).await;
    }
    println!("{CLIENTS} clients are at rest after {:.1?}", begin.elapsed());

    let (on_one, asked_on_one) = idle(&cluster, &clients, 1).await;
    let (on_three, asked_on_three) = idle(&cluster, &clients, NODES).await;
    println!("answers in {LOOKED_AT:?}: {on_one} on one node, {on_three} over {NODES}");
    println!("transactions: {asked_on_one} on one node, {asked_on_three} over {NODES}");
    // Each asks again when its time is up, a little late on a busy machine.
    let expected = CLIENTS * usize::try_from(LOOKED_AT.as_secs() / POLL.as_secs()).unwrap();
    assert!(on_one <= expected && on_three <= on_one + CLIENTS / 50, "{on_one} on one, {on_three} over {NODES}");
    // What nodes ask by themselves, as often as it is: far less than a question a client.
    assert!(asked_on_three < i64::try_from(CLIENTS / 4).unwrap(), "{asked_on_three} transactions");
}

/// How many answers the clients get meanwhile, and how many transactions the database begins.
async fn idle(cluster: &Cluster, clients: &[Roamer], nodes: usize) -> (usize, i64) {
    // What the database counts, it counts a second late.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (before, answers) = (cluster.postgres.transactions().await, AtomicUsize::new(0));
    let end = tokio::time::Instant::now() + LOOKED_AT;
    let poll = async |client: &Roamer| {
        while tokio::time::timeout_at(end, client.sync(nodes, POLL)).await.is_ok() {
            answers.fetch_add(1, Ordering::Relaxed);
        }
    };
    join_all(clients.iter().map(poll)).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    (answers.into_inner(), cluster.postgres.transactions().await - before)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_idle_client_in_turn_on_two_nodes_waits_for_its_time_in_both_kinds_of_sync() {
    let _turn = turn::shared().await;
    let cluster = roost_tests::shared::cluster().await;
    let servers = [cluster.server(0), cluster.server(1)];
    let (alice, bob) = (servers[0].user("alice").await, servers[1].user("bob").await);
    let room = alice.public_room("a room").await;
    bob.join(&room).await;
    let client = Roamer::new(&alice, &servers, Seed::announced("one idle client"));
    for at in [0, 1, 0, 1] {
        drop(client.sync_at(at, Duration::from_millis(800)).await);
    }
    let begin = Instant::now();
    for at in [0, 1, 0, 1] {
        drop(client.sync_at(at, Duration::from_secs(1)).await);
    }
    let took = begin.elapsed();
    assert!(took >= Duration::from_millis(3_900), "four answers without news after {took:?}");

    let ask = json!({
        "lists": { "all": { "ranges": [[0, 20]], "timeline_limit": 1, "required_state": [] } },
        "extensions": { "typing": { "enabled": true }, "receipts": { "enabled": true } },
    });
    let sides: Vec<User> = servers.iter().map(|server| alice.on(server)).collect();
    let phones: Vec<Phone> = sides.iter().map(|side| Phone::new(side, ask.clone())).collect();
    let mut pos = None;
    let mut wait = async |at: usize, timeout: u32| {
        phones[at].rewind(pos.clone());
        drop(phones[at].wait(timeout).await);
        pos = phones[at].pos();
    };
    for at in [0, 1, 0, 1] {
        wait(at, 500).await;
    }
    let begin = Instant::now();
    for at in [0, 1, 0, 1] {
        wait(at, 1_000).await;
    }
    let took = begin.elapsed();
    assert!(took >= Duration::from_millis(3_900), "four answers of sliding sync without news after {took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_begins_and_stops_to_type_is_shown_so_whichever_node_is_asked() {
    let _turn = turn::shared().await;
    let cluster = roost_tests::shared::cluster().await;
    let servers = [cluster.server(0), cluster.server(1)];
    let mut seed = Seed::announced("typing over two nodes");
    let (alice, bob) = (servers[0].user("alice").await, servers[1].user("bob").await);
    let room = alice.public_room("a room").await;
    bob.join(&room).await;
    let client = Roamer::new(&bob, &servers, seed.branch());
    drop(client.sync(2, Duration::ZERO).await);
    let (mut shown_typing, mut shown_presence) = (false, Value::Null);
    for round in 0..12 {
        let typing = round % 2 == 0;
        let presence = if typing { "unavailable" } else { "online" };
        let side = alice.on(&servers[seed.below(2)]);
        let path = format!("rooms/{}/typing/{}", seg(&room), seg(&alice.id));
        let _ = side.put(&path, json!({ "typing": typing, "timeout": 30_000 })).await.ok();
        let path = format!("presence/{}/status", seg(&alice.id));
        let _ = side.put(&path, json!({ "presence": presence, "status_msg": format!("round {round}") })).await.ok();
        let begin = Instant::now();
        while shown_typing != typing || shown_presence["status_msg"] != format!("round {round}").as_str() {
            assert!(begin.elapsed() < Duration::from_secs(15), "round {round}: shown {shown_typing}, {shown_presence}");
            let sync = client.sync(2, Duration::from_secs(2)).await;
            for event in joined(&sync, &room)["ephemeral"]["events"].as_array().into_iter().flatten() {
                if event["type"] == "m.typing" {
                    shown_typing =
                        event["content"]["user_ids"].as_array().is_some_and(|ids| ids.contains(&json!(alice.id)));
                }
            }
            for event in sync["presence"]["events"].as_array().into_iter().flatten() {
                if event["sender"] == alice.id.as_str() {
                    shown_presence = event["content"].clone();
                }
            }
        }
    }
}
