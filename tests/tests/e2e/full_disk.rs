//! A disk without room under the database, and a database that is not there yet: the node says so, refuses cleanly, and goes on
//! by itself.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use roost_tests::{
    Server,
    node::{Node, binary, plain, wait_ready},
    port,
    postgres::Postgres,
    process::Process,
    scratch, turn,
};
use serde_json::json;

const PATIENCE: Duration = Duration::from_secs(60);
/// Mounts, then becomes the server: `$0` is the program, `$1` the data folder.
const MOUNT: &str = "mount -t tmpfs -o size=400m,mode=755 tmpfs \"$1\" && exec \"$0\" quickstart --data-dir \"$1\"";

/// How this user gets a mount namespace: root by itself, others in a user namespace of their own.
fn namespace() -> &'static [&'static str] {
    let ways: [&[&str]; 2] = [&["--mount"], &["--user", "--map-root-user", "--mount"]];
    let works =
        |way: &&[&str]| Command::new("unshare").args(*way).arg("true").output().is_ok_and(|it| it.status.success());
    ways.into_iter()
        .find(works)
        .expect("this test needs mount namespaces (unshare --mount), which this machine forbids")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_under_the_database_is_named_and_nothing_fails_inside() {
    let _turn = turn::alone().await;
    let (data, port) = (scratch::dir("full"), port::free());
    let mut command = plain(Path::new("unshare"));
    command.args(namespace()).args(["sh", "-c", MOUNT]).arg(binary()).arg(&data);
    command.env("ROOST_HTTP__LISTEN", format!("[\"127.0.0.1:{port}\"]"));
    command.env("ROOST_REGISTRATION__MODE", "open").env("ROOST_RATE_LIMITS__ENABLED", "false");
    let mut process = Process::spawn("full", command, &scratch::log("full"));
    let server = Server::at(&format!("http://127.0.0.1:{port}"));
    wait_ready(server.base(), &mut process, PATIENCE).await;
    let alice = server.user("alice").await;
    let room = alice.public_room("a room").await;
    alice.say(&room, "before").await;

    let ballast = PathBuf::from(format!("/proc/{}/root{}/ballast", process.pid(), data.display()));
    fill(&ballast);
    ready(&server, Some("the database's disk is full")).await;
    assert_eq!(server.call("GET", "/health/live", None, None).await.status, 200);
    // Until PostgreSQL itself has nothing left.
    let (mut refused, begin) = (0, Instant::now());
    for n in 0.. {
        let path = format!("rooms/{room}/send/m.room.message/full{n}");
        let words: String =
            (0..2_000).map(|at| char::from(b'a' + u8::try_from((at * (n + 7)) % 26).unwrap())).collect();
        let content = json!({ "msgtype": "m.text", "body": words });
        let reply = server.call("PUT", &path, Some(&alice.token), Some(&content)).await;
        assert!(matches!(reply.status, 200 | 503), "{}: {}", reply.status, reply.text());
        refused += usize::from(reply.status == 503);
        if refused > 3 || begin.elapsed() > Duration::from_secs(20) {
            break;
        }
    }
    let body = Some(("text/plain", b"for friends".to_vec()));
    let upload =
        server.try_bytes("POST", "/_matrix/media/v3/upload", Some(&alice.token), body).await.expect("an answer");
    assert!(matches!(upload.status, 507 | 503), "{}: {}", upload.status, upload.text());

    fs::remove_file(&ballast).unwrap();
    ready(&server, None).await;
    alice.say(&room, "after").await;
    let logged = process.logged();
    let said = |words: &str| logged.lines().filter(|line| line.contains("ERROR") && line.contains(words)).count();
    assert_eq!(said("the database's disk is full"), 1, "{logged}");
}

/// Writes until nothing fits any more.
fn fill(path: &Path) {
    let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
    for size in [1 << 20, 4096] {
        while file.write_all(&vec![7; size]).is_ok() {}
    }
}

/// Waits until the node is ready, or not for this reason.
async fn ready(server: &Server, reason: Option<&str>) {
    let begin = Instant::now();
    loop {
        let reply = server.call("GET", "/health/ready", None, None).await;
        if (reply.status == 200) == reason.is_none() && reply.body["reason"].as_str() == reason {
            return;
        }
        assert!(begin.elapsed() < PATIENCE, "{}", reply.text());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_waits_for_its_database_lives_and_is_not_ready() {
    let _turn = turn::shared().await;
    let mut postgres = Postgres::start().await;
    postgres.stop().await;
    let mut node = Node::start("waits", "localhost", &postgres.url(), None, "");
    let (server, begin) = (node.server(), Instant::now());
    let live = loop {
        match server.try_call("GET", "/health/live", None, None).await {
            Ok(reply) => break reply,
            Err(error) => assert!(begin.elapsed() < Duration::from_secs(10), "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(live.status, 200, "{}", live.text());
    let reply = server.call("GET", "/health/ready", None, None).await;
    assert_eq!(reply.status, 503);
    assert!(reply.body["reason"].as_str().is_some_and(|it| it.contains("database")), "{}", reply.text());
    // A client is asked for patience, in its own words.
    let reply = server.call("GET", "sync", Some("a token"), None).await;
    reply.is(503, "M_UNKNOWN");
    assert_eq!(reply.header("retry-after"), "2");
    assert_eq!(reply.header("access-control-allow-origin"), "*");

    postgres.up().await;
    node.ready(PATIENCE).await;
    let _ = node.server().user("alice").await;
}
