//! PostgreSQL frozen, away, or with its connections cut, while clients send: afterwards every room goes on at once, and
//! nothing acknowledged is lost or doubled.
//!
//! A few short rounds; `ROOST_OUTAGES=10` makes ten of 5 to 60 s each, on one node and on two.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use roost_tests::{
    Cluster, Server, User,
    http::{Reply, text},
    node::Node,
    postgres::Postgres,
    seed::Seed,
    timeline::history,
    turn,
    user::at,
};
use serde_json::{Value, json};
use tokio::task::JoinSet;

const ROOMS: usize = 8;
/// How soon after the database's return every room has taken a message; a busy machine is slower than the promised 2 s.
const SOON: Duration = Duration::from_secs(5);
/// No request hangs for longer, whatever the database does.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy)]
enum Trouble {
    Freeze,
    Outage,
    Cut,
}

/// What one sender has seen in its room.
#[derive(Default)]
struct Seen {
    /// Acknowledged messages: when, the event, and what it says.
    sent: Vec<(Instant, String, String)>,
    /// The longest that any request took.
    longest: Duration,
    unavailable: usize,
}

struct Sender {
    user: User,
    nodes: Vec<Server>,
    room: String,
    seen: Mutex<Seen>,
}

impl Sender {
    fn note(&self, change: impl FnOnce(&mut Seen)) {
        change(&mut self.seen.lock().expect("what was seen"));
    }

    /// Repeats a request until it is served: 503 with an errcode, and no answer, are what a client must expect.
    async fn insist(&self, path: &str, body: &Value, seed: &mut Seed) -> Reply {
        loop {
            let node = &self.nodes[seed.below(self.nodes.len())];
            let asked = node.try_call("PUT", path, Some(&self.user.token), Some(body));
            let asked = tokio::time::timeout(PATIENCE, asked).await;
            let Ok(reply) = asked else { panic!("PUT {path} hangs") };
            let Ok(reply) = reply else { continue };
            self.note(|seen| seen.longest = seen.longest.max(reply.took));
            if reply.status == 200 {
                return reply;
            }
            assert_eq!((reply.status, &reply.body["errcode"]), (503, &json!("M_UNKNOWN")), "{path} {}", reply.text());
            assert!(reply.headers.contains_key("retry-after"), "{path}: 503 says when to come again");
            self.note(|seen| seen.unavailable += 1);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Messages, and now and then a change of state, which asks for more of the room's head.
    async fn send(self: Arc<Self>, mut seed: Seed, stop: Arc<AtomicBool>) {
        for n in 0.. {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            let body = format!("{} {n}", self.user.id);
            if seed.below(8) == 0 {
                self.insist(&at(&self.room, "state/m.room.topic"), &json!({ "topic": body }), &mut seed).await;
            }
            let content = json!({ "msgtype": "m.text", "body": body });
            let path = at(&self.room, &format!("send/m.room.message/t{n}"));
            let event = text(&self.insist(&path, &content, &mut seed).await.ok()["event_id"]);
            self.note(|seen| seen.sent.push((Instant::now(), event, body)));
            tokio::time::sleep(Duration::from_millis(seed.below(30) as u64)).await;
        }
    }
}

async fn make(trouble: Trouble, lasting: Duration, postgres: &mut Postgres) {
    match trouble {
        Trouble::Freeze => {
            postgres.freeze();
            tokio::time::sleep(lasting).await;
            postgres.thaw();
        }
        Trouble::Outage => {
            postgres.stop().await;
            tokio::time::sleep(lasting).await;
            postgres.up().await;
        }
        Trouble::Cut => {
            let begin = Instant::now();
            while begin.elapsed() < lasting {
                postgres.cut().await;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Two senders a room, one trouble after the other, then the truth.
async fn story(nodes: Vec<Server>, postgres: &mut Postgres, rounds: &[(Trouble, Duration)], mut seed: Seed) {
    let owner = nodes[0].user("owner").await;
    let (mut senders, mut tasks, stop) = (Vec::new(), JoinSet::new(), Arc::<AtomicBool>::default());
    for n in 0..ROOMS {
        let room = owner.public_room(&format!("room {n}")).await;
        let power = json!({ "events": { "m.room.topic": 0 } });
        let _ = owner.set_state(&room, "m.room.power_levels", "", power).await.ok();
        for _ in 0..2 {
            let user = nodes[0].user("sender").await;
            user.join(&room).await;
            let (room, nodes, seen) = (room.clone(), nodes.clone(), Mutex::default());
            let sender = Arc::new(Sender { user, nodes, room, seen });
            tasks.spawn(Arc::clone(&sender).send(seed.branch(), Arc::clone(&stop)));
            senders.push(sender);
        }
    }
    for (trouble, lasting) in rounds {
        tokio::time::sleep(Duration::from_millis(500 + seed.below(1000) as u64)).await;
        make(*trouble, *lasting, postgres).await;
        let back = Instant::now();
        let mut rooms: Vec<&String> = senders.iter().map(|sender| &sender.room).collect();
        while !rooms.is_empty() {
            let served = |room: &String| {
                let of_room = senders.iter().filter(|sender| sender.room == *room);
                of_room
                    .into_iter()
                    .any(|it| it.seen.lock().expect("what was seen").sent.last().is_some_and(|(at, ..)| *at > back))
            };
            rooms.retain(|room| !served(room));
            assert!(
                back.elapsed() < SOON,
                "after {trouble:?} of {lasting:?} rooms take nothing for {SOON:?}: {rooms:?}"
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        println!("{trouble:?} of {lasting:?}: every room took a message after {:.2?}", back.elapsed());
    }
    stop.store(true, Ordering::Relaxed);
    tasks.join_all().await;

    for room in senders.iter().map(|sender| &sender.room) {
        let mut times: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for event in history(&owner, room, "b").await.iter().filter(|it| it["type"] == "m.room.message") {
            times.entry(text(&event["content"]["body"])).or_default().push(text(&event["event_id"]));
        }
        let mut sent = 0;
        for sender in senders.iter().filter(|sender| sender.room == *room) {
            for (_, event, body) in &sender.seen.lock().expect("what was seen").sent {
                assert_eq!(times.get(body), Some(&vec![event.clone()]), "{body:?} in {room}");
                sent += 1;
            }
        }
        assert_eq!(times.len(), sent, "messages in {room} that nobody was told of");
    }
    let of_all = senders.iter().map(|sender| sender.seen.lock().expect("what was seen"));
    let (mut sent, mut unavailable, mut longest) = (0, 0, Duration::ZERO);
    for seen in of_all {
        sent += seen.sent.len();
        unavailable += seen.unavailable;
        longest = longest.max(seen.longest);
    }
    println!("{sent} messages, {unavailable} times 503, the slowest answer after {longest:.1?}");
}

/// `ROOST_OUTAGES` rounds of 5 to 60 s, or those that are given.
fn rounds(given: &[(Trouble, u64)], seed: &mut Seed) -> Vec<(Trouble, Duration)> {
    let Some(count) = std::env::var("ROOST_OUTAGES").ok().and_then(|count| count.parse::<usize>().ok()) else {
        return given.iter().map(|(trouble, seconds)| (*trouble, Duration::from_secs(*seconds))).collect();
    };
    let kinds = [Trouble::Freeze, Trouble::Outage, Trouble::Cut];
    (0..count).map(|n| (kinds[n % 3], Duration::from_secs(5 + seed.below(56) as u64))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_node_goes_on_when_its_database_is_back() {
    let _turn = turn::alone().await;
    let mut seed = Seed::announced("outages, one node");
    let rounds = rounds(&[(Trouble::Outage, 11), (Trouble::Freeze, 12)], &mut seed);
    let mut postgres = Postgres::start().await;
    let mut node = Node::start("alone", "localhost", &postgres.url(), None, "");
    node.ready(Duration::from_secs(60)).await;
    story(vec![node.server()], &mut postgres, &rounds, seed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_go_on_when_their_database_is_back() {
    let _turn = turn::alone().await;
    let mut seed = Seed::announced("outages, two nodes");
    let rounds = rounds(&[(Trouble::Cut, 2), (Trouble::Outage, 10)], &mut seed);
    let mut cluster = Cluster::start(2).await;
    let nodes = vec![cluster.server(0), cluster.server(1)];
    story(nodes, &mut cluster.postgres, &rounds, seed).await;
}
