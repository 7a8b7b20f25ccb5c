//! NATS that is slow, and NATS that asks who comes.

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use futures::{StreamExt as _, stream};
use roost_tests::{
    Cluster,
    authority::Authority,
    http::{seg, text},
    nats::Nats,
    node::Node,
    postgres::Postgres,
    scratch,
    sync::{bodies, timeline},
    turn,
    user::at,
};
use serde_json::{Value, json};

/// A send may take so long with NATS frozen; a busy machine is slower than the 10 ms that are promised.
const PROMPT: Duration = Duration::from_secs(2);
/// Nothing waits for NATS for so long.
const HANGS: Duration = Duration::from_secs(20);
/// Messages that fill the sockets' buffers, and rings that fill the client's.
const LARGE: usize = 150;
const SMALL: usize = 9_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_bell_delays_no_answer() {
    let _turn = turn::alone().await;
    let cluster = Cluster::start(2).await;
    let (one, other) = (cluster.server(0), cluster.server(1));
    let (alice, bob) = (one.user("alice").await, other.user("bob").await);
    let room = alice.public_room("a room").await;
    bob.join(&room).await;
    bob.sync().await;

    cluster.nats.freeze();
    // The sockets' buffers first, with messages near the largest that there may be; then the client's, with small rings.
    let long = "x".repeat(40_000);
    let send = async |n: usize| {
        let content = json!({ "msgtype": "m.text", "body": format!("{n}"), "org.example.long": long });
        let txn = format!("t{n}");
        let sent = alice.send_as(&room, "m.room.message", &txn, content);
        let reply = tokio::time::timeout(HANGS, sent).await.unwrap_or_else(|_| panic!("message {n} waits for NATS"));
        let took = reply.took;
        let _ = reply.ok();
        took
    };
    let mut slowest = Duration::ZERO;
    for n in 0..LARGE {
        slowest = slowest.max(send(n).await);
    }
    let typing = at(&room, &format!("typing/{}", seg(&alice.id)));
    let types = json!({ "typing": true, "timeout": 20_000 });
    stream::iter(0..SMALL)
        .for_each_concurrent(32, |n| {
            let asked = alice.put(&typing, types.clone());
            async move {
                let reply = tokio::time::timeout(HANGS, asked).await;
                let _ = reply.unwrap_or_else(|_| panic!("typing {n} waits for NATS")).ok();
            }
        })
        .await;
    for n in LARGE..2 * LARGE {
        slowest = slowest.max(send(n).await);
    }
    println!("{LARGE} messages with all buffers before NATS full, the slowest in {slowest:.1?}");
    assert!(slowest < PROMPT, "a message took {slowest:?}");

    // The other node notices the silence, and reads the log by itself.
    tokio::time::sleep(Duration::from_secs(4)).await;
    bob.sync().await;
    let waits = tokio::spawn(async move { (bob.sync_with("timeout=20000").await, bob) });
    tokio::time::sleep(Duration::from_millis(500)).await;
    let begin = Instant::now();
    alice.say(&room, "still heard").await;
    let (sync, bob) = waits.await.expect("a sync");
    assert_eq!(bodies(&timeline(&sync, &room)), ["still heard"]);
    println!("heard on the other node after {:.1?}", begin.elapsed());
    assert!(begin.elapsed() < Duration::from_secs(5), "heard after {:?}", begin.elapsed());

    cluster.nats.thaw();
    tokio::time::sleep(Duration::from_secs(2)).await;
    alice.say(&room, "rung again").await;
    assert!(bodies(&timeline(&bob.sync_with("timeout=5000").await, &room)).contains(&"rung again".to_owned()));
}

/// What `roost doctor` says of NATS: its verdict and its words, and how long it took.
async fn doctor(node: &Node) -> (String, String, Duration) {
    let begin = Instant::now();
    let found: Value = serde_json::from_str(&node.cli().run(&["doctor", "--json"]).await.out).expect("findings");
    let nats = found.as_array().expect("findings").iter().find(|it| it["about"] == "nats").expect("a word on NATS");
    (text(&nats["verdict"]), text(&nats["found"]), begin.elapsed())
}

/// Whether two nodes hear of each other by it.
async fn rings(nodes: &[Node; 2]) -> bool {
    for node in nodes {
        let health = node.server().call("GET", "/health/ready", None, None).await.ok();
        if health["bell"] != "up" {
            return false;
        }
    }
    true
}

/// What nodes share besides NATS.
struct Shared {
    postgres: Postgres,
    media: PathBuf,
}

impl Shared {
    async fn start() -> Self {
        Self { postgres: Postgres::start().await, media: scratch::dir("media") }
    }
}

async fn nodes(shared: &Shared, url: &str, more: &str) -> [Node; 2] {
    let (database, media) = (shared.postgres.url(), shared.media.display());
    let more = format!("{more}\n[media]\npath = \"{media}\"\n");
    let mut nodes = [1, 2].map(|n| Node::start(&format!("asked{n}"), "localhost", &database, Some(url), &more));
    for node in &mut nodes {
        node.ready(Duration::from_secs(60)).await;
    }
    nodes
}

async fn lets_in(shared: &Shared, url: &str, more: &str) {
    let nodes = nodes(shared, url, more).await;
    let begin = Instant::now();
    while !rings(&nodes).await {
        assert!(begin.elapsed() < Duration::from_secs(15), "{url} {more}: the bell stays down");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let (verdict, words, _) = doctor(&nodes[0]).await;
    assert_eq!((verdict.as_str(), words.as_str()), ("good", "answers"));
}

async fn turns_away(shared: &Shared, url: &str, more: &str, words: &str) {
    let [one, _other] = nodes(shared, url, more).await;
    let (verdict, found, took) = doctor(&one).await;
    assert!(verdict == "wrong" && found.contains(words), "{url}: {verdict} {found}");
    assert!(took < Duration::from_secs(8), "doctor took {took:?} to say so");
    let health = one.server().call("GET", "/health/ready", None, None).await.ok();
    assert_eq!(health["bell"], "down", "a node without its bell serves");
}

#[tokio::test(flavor = "multi_thread")]
async fn nats_with_a_password_a_token_or_several_servers() {
    let _turn = turn::shared().await;
    let shared = Shared::start().await;
    let password = Nats::start_with("authorization { user: roost, password: \"s3cret/ word\" }").await;
    let at = password.address();
    lets_in(&shared, &format!("nats://roost:s3cret%2F%20word@{at}"), "").await;
    turns_away(&shared, &format!("nats://roost:wrong@{at}"), "", "refuses the credentials").await;
    turns_away(&shared, &format!("nats://{at}"), "", "refuses the credentials").await;

    let token = Nats::start_with("authorization { token: \"a-long-token\" }").await;
    lets_in(&shared, &format!("nats://a-long-token@{}", token.address()), "").await;
    // Of several servers one that is there will do.
    let gone = Nats::start().await.address();
    lets_in(&shared, &format!("nats://a-long-token@{gone},nats://a-long-token@{}", token.address()), "").await;
    turns_away(&shared, &format!("nats://{gone}"), "", "does not answer").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nats_with_tls_and_a_credentials_file() {
    let _turn = turn::shared().await;
    let shared = Shared::start().await;
    let authority = Authority::new();
    let certificate = authority.sign(&["localhost"]);
    let folder = scratch::dir("nats-tls");
    let file = |name: &str, text: &str| {
        let path = folder.join(name);
        fs::write(&path, text).expect("a file");
        path.display().to_string()
    };
    let (cert, key) = (file("server.pem", &certificate.chain), file("server.key", &certificate.key));
    let root = file("root.pem", &authority.root());
    let tls = Nats::start_with(&format!("tls {{ cert_file: \"{cert}\", key_file: \"{key}\" }}")).await;
    let at = tls.address().replace("127.0.0.1", "localhost");
    lets_in(&shared, &format!("tls://{at}"), &format!("tls.authority = \"{root}\"")).await;
    turns_away(&shared, &format!("tls://{at}"), "", "TLS").await;

    // An operator, an account and a user, as `nsc` makes them.
    let jwt = Nats::start_with(include_str!("nats/operator.conf")).await;
    let credentials = file("user.creds", include_str!("nats/user.creds"));
    lets_in(&shared, &jwt.url(), &format!("credentials = \"{credentials}\"")).await;
    turns_away(&shared, &jwt.url(), "", "refuses the credentials").await;
}
