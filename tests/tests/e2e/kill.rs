//! The kill test: nothing acknowledged is lost, doubled or shown out of order, whatever dies.
//!
//! Two nodes, one database, one NATS. Clients send through both nodes into the same rooms, while nodes are killed, NATS
//! goes away and PostgreSQL restarts. Members sync all the while, through whichever node answers. In the end every
//! member's timeline, gaps filled, is the same list, read from either node.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use roost_tests::{
    Cluster, Server, User,
    http::{Reply, seg, text},
    seed::Seed,
    sync::{ids, limit},
    timeline::{Pages, Timelines, history},
    turn,
    user::at,
};
use serde_json::{Value, json};
use tokio::task::JoinSet;

const ROOMS: usize = 6;
const CLIENTS: usize = 24;
/// Rooms that each client is in.
const ROOMS_EACH: usize = 3;
const SENDS: usize = 5_000;
const KILLS: usize = 5;
const NATS_AWAY: Duration = Duration::from_secs(20);
/// How long any request may be retried before the test gives up.
const STUBBORN: Duration = Duration::from_secs(90);

/// A client that goes on through the other node when one does not answer.
struct Steady {
    user: User,
    nodes: [Server; 2],
    seed: std::sync::Mutex<Seed>,
}

impl Steady {
    /// Repeats a request until it is served. Only failures that a client must expect are retried: no answer, and 5xx.
    async fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Reply {
        let begin = Instant::now();
        loop {
            let node = &self.nodes[self.seed.lock().expect("seed").below(2)];
            match node.try_call(method, path, Some(&self.user.token), body).await {
                Ok(reply) if reply.status < 500 => return reply,
                Ok(reply) => {
                    assert_eq!(reply.status, 503, "a server in trouble says 503: {} {}", reply.asked, reply.text());
                }
                Err(_) => {}
            }
            assert!(begin.elapsed() < STUBBORN, "{method} {path}: not served for {STUBBORN:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Pages for Steady {
    async fn page(&self, path: String) -> Value {
        self.call("GET", &path, None).await.ok()
    }
}

/// One acknowledged send.
struct Sent {
    room: String,
    txn: String,
    body: String,
    event: String,
}

/// Sends into random rooms until all clients together have enough acknowledgements and the trouble is over.
async fn send(
    client: Arc<Steady>,
    rooms: Vec<String>,
    mut seed: Seed,
    done: Arc<AtomicUsize>,
    trouble: Arc<AtomicBool>,
) -> Vec<Sent> {
    let mut sent: Vec<Sent> = Vec::new();
    while done.load(Ordering::Relaxed) < SENDS || trouble.load(Ordering::Relaxed) {
        let room = rooms[seed.below(rooms.len())].clone();
        let (txn, body) = (format!("t{}", sent.len()), format!("{} {}", client.user.id, sent.len()));
        let event = put(&client, &room, &txn, &body).await;
        done.fetch_add(1, Ordering::Relaxed);
        sent.push(Sent { room, txn, body, event });
        // Now and then an answer "got lost": the same transaction id must give the same event.
        if seed.below(20) == 0 {
            let old = &sent[seed.below(sent.len())];
            assert_eq!(put(&client, &old.room, &old.txn, &old.body).await, old.event, "a repeated transaction id");
        }
        // A pace that lasts through all of the trouble.
        tokio::time::sleep(Duration::from_millis(20 + seed.below(60) as u64)).await;
    }
    sent
}

async fn put(client: &Steady, room: &str, txn: &str, body: &str) -> String {
    let content = json!({ "msgtype": "m.text", "body": body });
    let path = at(room, &format!("send/m.room.message/{txn}"));
    text(&client.call("PUT", &path, Some(&content)).await.ok()["event_id"])
}

/// Syncs until told to stop and nothing more comes.
async fn watch(client: Arc<Steady>, stop: Arc<AtomicBool>) -> Timelines {
    let (mut timelines, mut since, mut quiet) = (Timelines::default(), None::<String>, 0);
    loop {
        let last = stop.load(Ordering::Relaxed);
        let since_query = since.as_ref().map_or_else(String::new, |it| format!("&since={}", seg(it)));
        let wait = if last { 0 } else { 2_000 };
        let path = format!("sync?timeout={wait}&filter={}{since_query}", limit(10));
        let sync = client.call("GET", &path, None).await.ok();
        timelines.add(&*client, &sync).await;
        since = Some(text(&sync["next_batch"]));
        // What was acknowledged before the stop comes without waiting; then nothing more does, on either node.
        quiet =
            if last && sync["rooms"]["join"].as_object().is_none_or(serde_json::Map::is_empty) { quiet + 1 } else { 0 };
        if quiet == 5 {
            return timelines;
        }
    }
}

/// Kills nodes at random moments, takes NATS away, restarts PostgreSQL.
async fn make_trouble(cluster: &mut Cluster, mut seed: Seed, done: &AtomicUsize) {
    let begin = Instant::now();
    let say = |what: String| println!("{:>6.1?} {:>5} sends: {what}", begin.elapsed(), done.load(Ordering::Relaxed));
    for kill in 1..=KILLS {
        tokio::time::sleep(Duration::from_millis(500 + seed.below(2_500) as u64)).await;
        let victim = seed.below(2);
        say(format!("kill {kill}: node {victim}"));
        cluster.nodes[victim].kill();
        tokio::time::sleep(Duration::from_millis(seed.below(1_500) as u64)).await;
        cluster.nodes[victim].up();
        match kill {
            2 => {
                say("NATS goes away".to_owned());
                cluster.nats.down();
                let away = Instant::now();
                tokio::time::sleep(Duration::from_millis(3_000 + seed.below(3_000) as u64)).await;
                let victim = seed.below(2);
                say(format!("a further kill while NATS is away: node {victim}"));
                cluster.nodes[victim].kill();
                cluster.nodes[victim].up();
                tokio::time::sleep(NATS_AWAY.saturating_sub(away.elapsed())).await;
                cluster.nats.up().await;
                say("NATS is back".to_owned());
            }
            4 => {
                say("PostgreSQL restarts".to_owned());
                cluster.postgres.stop().await;
                tokio::time::sleep(Duration::from_millis(seed.below(1_000) as u64)).await;
                cluster.postgres.up().await;
            }
            _ => {}
        }
        // The next victim may be the other one: someone must be there to serve.
        cluster.nodes[victim].ready(Duration::from_secs(60)).await;
        say("ready".to_owned());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_doubled_or_out_of_order() {
    let _turn = turn::alone().await;
    let mut seed = Seed::announced("kill test");
    let begin = Instant::now();
    let mut cluster = Cluster::start(2).await;
    let nodes = [cluster.server(0), cluster.server(1)];

    let owner = nodes[0].user("owner").await;
    let mut rooms = Vec::new();
    for n in 0..ROOMS {
        rooms.push(owner.public_room(&format!("room {n}")).await);
    }
    let (mut clients, mut memberships) = (Vec::new(), Vec::new());
    for n in 0..CLIENTS {
        let user = nodes[n % 2].user(&format!("client{n}")).await;
        let mut own: Vec<_> = rooms.clone();
        while own.len() > ROOMS_EACH {
            own.swap_remove(seed.below(own.len()));
        }
        for room in &own {
            user.join(room).await;
        }
        clients.push(Arc::new(Steady { user, nodes: nodes.clone(), seed: seed.branch().into() }));
        memberships.push(own);
    }

    let (done, trouble, stop) =
        (Arc::<AtomicUsize>::default(), Arc::new(AtomicBool::new(true)), Arc::<AtomicBool>::default());
    let (mut senders, mut watchers) = (JoinSet::new(), JoinSet::new());
    for (n, client) in clients.iter().enumerate() {
        let own = memberships[n].clone();
        senders.spawn(send(Arc::clone(client), own, seed.branch(), Arc::clone(&done), Arc::clone(&trouble)));
        let (client, stop) = (Arc::clone(client), Arc::clone(&stop));
        watchers.spawn(async move { (n, watch(client, stop).await) });
    }
    make_trouble(&mut cluster, seed.branch(), &done).await;
    trouble.store(false, Ordering::Relaxed);
    let sent: Vec<Sent> = senders.join_all().await.into_iter().flatten().collect();
    stop.store(true, Ordering::Relaxed);
    let watched: BTreeMap<usize, Timelines> = watchers.join_all().await.into_iter().collect();
    println!("{} acknowledged sends in {:.1?}", sent.len(), begin.elapsed());
    assert!(sent.len() >= SENDS);

    for room in &rooms {
        let truth = history(&owner, room, "b").await;
        let order = ids(&truth);
        let unique: BTreeSet<_> = order.iter().collect();
        assert_eq!(unique.len(), order.len(), "an event is shown twice in {room}");

        // Every acknowledged event once, and no words twice: a retry made no second event.
        let of_room: Vec<_> = sent.iter().filter(|it| it.room == *room).collect();
        let mut times: BTreeMap<&str, usize> = BTreeMap::new();
        for event in truth.iter().filter(|it| it["type"] == "m.room.message") {
            *times.entry(event["content"]["body"].as_str().unwrap_or_default()).or_default() += 1;
        }
        for it in &of_room {
            assert!(unique.contains(&it.event), "lost: {} in {room}", it.event);
            assert_eq!(times.get(it.body.as_str()), Some(&1), "{:?} in {room}", it.body);
        }
        assert_eq!(times.len(), of_room.len(), "messages that nobody sent in {room}");

        for node in &nodes {
            let here = owner.on(node);
            assert_eq!(ids(&history(&here, room, "f").await), order, "forwards on {}", node.base());
            assert_eq!(ids(&history(&here, room, "b").await), order, "backwards on {}", node.base());
        }
        for (n, own) in memberships.iter().enumerate().filter(|(_, own)| own.contains(room)) {
            let member = &clients[n].user;
            let seen = watched[&n].of(room);
            assert_same(seen, &order, &format!("{} while it happened, of {} rooms", member.id, own.len()));
            for node in &nodes {
                let fresh = member.on(node);
                fresh.start_over();
                let mut timelines = Timelines::default();
                let sync = fresh.sync_with(&format!("timeout=0&filter={}", limit(7))).await;
                timelines.add(&fresh, &sync).await;
                assert_same(timelines.of(room), &order, &format!("{} afterwards on {}", member.id, node.base()));
            }
        }
    }

    // Long after, transaction ids still name their events, on either node.
    for it in sent.iter().step_by(97) {
        let client =
            clients.iter().find(|client| it.body.starts_with(&format!("{} ", client.user.id))).expect("its sender");
        assert_eq!(put(client, &it.room, &it.txn, &it.body).await, it.event);
    }
    println!("all read and compared in {:.1?}", begin.elapsed());
}

/// Compares two lists and shows where they part.
fn assert_same(seen: &[String], order: &[String], who: &str) {
    if seen == order {
        return;
    }
    let at = seen.iter().zip(order).take_while(|(a, b)| a == b).count();
    let around = |list: &[String]| list[at.saturating_sub(2).min(list.len())..(at + 4).min(list.len())].to_vec();
    panic!(
        "{who}: saw {} events of {}, parting at {at}: saw {:#?}, expected {:#?}",
        seen.len(),
        order.len(),
        around(seen),
        around(order)
    );
}
