//! What an operator does: start, stop, kill, configure, use the command line.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    time::{Duration, Instant},
};

use roost_tests::{
    Cluster, Quickstart, User,
    cli::Cli,
    node::{Node, roost},
    postgres::Postgres,
    process::Process,
    scratch, shared,
    sync::{bodies, timeline},
    timeline::history,
    turn,
};
use serde_json::{Value, json};

/// A command line's work shows on a running node within this time.
const SHOWN: Duration = Duration::from_secs(1);
/// A clean stop.
const STOP: Duration = Duration::from_secs(5);
/// From exec to ready.
const AFTER_STOP: Duration = Duration::from_secs(2);
const AFTER_KILL: Duration = Duration::from_secs(10);

/// Asks until `user`'s requests are answered with `status`; fails after a second.
async fn soon(user: &User, status: u16) -> Value {
    let begin = Instant::now();
    loop {
        let reply = user.get("account/whoami").await;
        if reply.status == status {
            return reply.body;
        }
        assert!(begin.elapsed() < SHOWN, "still {} after {SHOWN:?}: {}", reply.status, reply.text());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quickstart_restarts_fast_and_keeps_everything() {
    let _turn = turn::alone().await;
    let mut quickstart = Quickstart::start().await;
    let server = quickstart.server();
    let alice = server.user("alice").await;
    let room = alice.public_room("a room").await;
    alice.say(&room, "before the stop").await;
    alice.sync().await;

    let (took, status) = quickstart.terminate().await;
    assert!(took < STOP, "the stop took {took:?}");
    assert_eq!(status.code(), Some(0), "a clean stop");
    assert_eq!(postmasters(&quickstart), 0, "its PostgreSQL stopped with it");

    let begin = Instant::now();
    quickstart.up();
    quickstart.ready(Duration::from_secs(30)).await;
    let took = begin.elapsed();
    println!("ready {took:?} after a clean stop");
    assert!(took < AFTER_STOP, "ready {took:?} after a clean stop");
    alice.say(&room, "before the kill").await;

    quickstart.kill();
    let begin = Instant::now();
    quickstart.up();
    quickstart.ready(Duration::from_secs(30)).await;
    let took = begin.elapsed();
    println!("ready {took:?} after SIGKILL");
    assert!(took < AFTER_KILL, "ready {took:?} after SIGKILL");
    alice.say(&room, "after the kill").await;

    let words = ["before the stop", "before the kill", "after the kill"];
    assert_eq!(bodies(&history(&alice, &room, "b").await), words);
    assert_eq!(bodies(&timeline(&alice.sync().await, &room)), words[1..], "the old sync token goes on");

    // The same once more with PostgreSQL killed too: it recovers from its log.
    let postmaster = postmaster(&quickstart).expect("a running PostgreSQL");
    quickstart.kill();
    let _ = std::process::Command::new("kill").args(["-KILL", &postmaster]).status();
    let begin = Instant::now();
    quickstart.up();
    quickstart.ready(Duration::from_secs(30)).await;
    println!("ready {:?} after SIGKILL of everything", begin.elapsed());
    assert!(begin.elapsed() < AFTER_KILL);
    assert_eq!(bodies(&history(&alice, &room, "b").await), words);
}

/// The process id in the private cluster's lock file.
fn postmaster(quickstart: &Quickstart) -> Option<String> {
    let folder = quickstart.data().join("postgres");
    let inside = fs::read_dir(&folder).into_iter().flatten().flatten().map(|it| it.path().join("postmaster.pid"));
    let file = [folder.join("postmaster.pid")].into_iter().chain(inside).find(|it| it.exists())?;
    fs::read_to_string(file).ok()?.lines().next().map(str::to_owned)
}

fn postmasters(quickstart: &Quickstart) -> usize {
    usize::from(postmaster(quickstart).is_some())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_waits_for_requests_and_wakes_long_polls() {
    let _turn = turn::alone().await;
    let mut cluster = Cluster::start(1).await;
    let server = cluster.server(0);
    let alice = server.user("alice").await;
    let room = alice.public_room("a room").await;
    alice.sync().await;
    alice.sync().await;

    let poll = {
        let alice = alice.on(&server);
        tokio::spawn(async move { alice.try_sync("timeout=60000").await })
    };
    let talk = {
        let (alice, room) = (alice.on(&server), room.clone());
        tokio::spawn(async move {
            let mut acknowledged = Vec::new();
            for n in 0.. {
                let path = format!("rooms/{room}/send/m.room.message/stop{n}");
                let content = json!({ "msgtype": "m.text", "body": n.to_string() });
                match alice.server.try_call("PUT", &path, Some(&alice.token), Some(&content)).await {
                    Ok(reply) if reply.status == 200 => acknowledged.push(n.to_string()),
                    _ => return acknowledged,
                }
            }
            acknowledged
        })
    };
    tokio::time::sleep(Duration::from_millis(500)).await;
    let (took, status) = cluster.nodes[0].terminate().await;

    assert!(took < STOP, "the stop took {took:?}");
    assert_eq!(status.code(), Some(0));
    let reply = poll.await.expect("the poll");
    assert_eq!(reply.status, 200, "a long-poll is answered, not cut: {}", reply.text());
    let acknowledged = talk.await.expect("the talk");
    assert!(!acknowledged.is_empty());
    cluster.nodes[0].up();
    cluster.nodes[0].ready(AFTER_KILL).await;
    let kept = bodies(&history(&alice, &room, "b").await);
    assert_eq!(kept[..acknowledged.len()], acknowledged);
    assert!(kept.len() <= acknowledged.len() + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_goes_first() {
    let _turn = turn::alone().await;
    let cluster = Cluster::start(1).await;
    let server = cluster.server(0);
    let _ = server.call("GET", "/health/live", None, None).await.ok();

    cluster.nodes[0].process().expect("a node").signal("TERM");

    let begin = Instant::now();
    let mut announced = false;
    while begin.elapsed() < STOP {
        match server.try_call("GET", "/health/ready", None, None).await {
            Ok(reply) if reply.status == 503 => announced = true,
            Ok(_) => {}
            Err(_) => break,
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(announced, "a load balancer learns of the stop before connections are refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_works_on_a_running_quickstart() {
    let _turn = turn::shared().await;
    let quickstart = shared::quickstart().await;
    manage_users(&quickstart.cli(), &[quickstart.server()]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_works_on_two_running_nodes() {
    let _turn = turn::shared().await;
    let cluster = shared::cluster().await;
    manage_users(&cluster.nodes[0].cli(), &[cluster.server(0), cluster.server(1)]).await;
}

/// Adds, lists, locks, unlocks, renames a password, deactivates; each shows on every node within a second.
async fn manage_users(cli: &Cli, servers: &[roost_tests::Server]) {
    let name = scratch::name("carol");
    let words = |more: &[&str]| more.iter().map(|&it| it.to_owned()).collect::<Vec<_>>();
    let run = |list: Vec<String>, input: &'static str| {
        let cli = cli.clone();
        async move { cli.run_with_input(&list.iter().map(String::as_str).collect::<Vec<_>>(), input).await }
    };
    let _ = run(words(&["user", "add", &name, "--password-stdin"]), "the first password\n").await.ok();
    let list = run(words(&["user", "list", "--json"]), "").await.json();
    assert!(list.to_string().contains(&name), "{list}");
    let answer = servers[0].login(&name, "the first password", None).await.ok();
    let carol = User::from_login(servers[0].clone(), &answer, "the first password");
    let sides: Vec<User> = servers.iter().map(|it| carol.on(it)).collect();
    for side in &sides {
        soon(side, 200).await;
    }

    let _ = run(words(&["user", "lock", &name]), "").await.ok();
    for side in &sides {
        let body = soon(side, 401).await;
        assert_eq!(body["errcode"], "M_USER_LOCKED", "{body}");
        assert_eq!(body["soft_logout"], true, "a locked user may come back: {body}");
    }
    assert_ne!(servers[0].login(&name, "the first password", None).await.status, 200);
    let _ = run(words(&["user", "unlock", &name]), "").await.ok();
    for side in &sides {
        soon(side, 200).await;
    }

    // Suspended, she reads and says nothing; made an administrator and not any more.
    let says = async |status: u16| {
        let begin = Instant::now();
        for side in &sides {
            while side.post("createRoom", json!({})).await.status != status {
                assert!(begin.elapsed() < SHOWN, "not {status} after {SHOWN:?}");
            }
        }
    };
    for (verb, status) in [("suspend", 403), ("unsuspend", 200)] {
        let _ = run(words(&["user", verb, &name]), "").await.ok();
        says(status).await;
    }
    for (verb, admin) in [("promote", true), ("demote", false)] {
        assert_eq!(run(words(&["user", verb, &name, "--json"]), "").await.json()["admin"], admin);
    }
    let second = sides[0].new_device().await;
    let listed = run(words(&["user", "devices", &name, "--json"]), "").await.json();
    assert!([&carol.device, &second.device].iter().all(|it| listed.to_string().contains(it.as_str())), "{listed}");
    let _ = run(words(&["user", "log-out", &name, &second.device]), "").await.ok();
    soon(&second, 401).await;
    soon(&carol, 200).await;
    run(words(&["user", "log-out", &name, "NOSUCHDEVICE"]), "").await.refused(1, "NOSUCHDEVICE");

    let _ = run(words(&["user", "password", &name, "--password-stdin"]), "the second password\n").await.ok();
    for side in &sides {
        soon(side, 401).await;
    }
    servers[0].login(&name, "the first password", None).await.is(403, "M_FORBIDDEN");
    let answer = servers[0].login(&name, "the second password", None).await.ok();
    let carol = User::from_login(servers[0].clone(), &answer, "the second password");

    let _ = run(words(&["user", "deactivate", &name]), "").await.ok();
    for server in servers {
        soon(&carol.on(server), 401).await;
    }
    run(words(&["user", "add", &name, "--password-stdin"]), "again\n").await.refused(1, &name);
    run(words(&["user", "lock", "nobody-of-that-name"]), "").await.refused(1, "nobody-of-that-name");
    assert_eq!(run(words(&["user", "no-such-verb", &name]), "").await.code, Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_open_registration_and_close_it() {
    let _turn = turn::shared().await;
    let quickstart = Quickstart::start_with(&[("ROOST_RATE_LIMITS__ENABLED", "false")]).await;
    let (server, cli) = (quickstart.server(), quickstart.cli());
    let register = |token: String| {
        let server = server.clone();
        async move {
            let mut ask = json!({ "username": scratch::name("t"), "password": "a fine password" });
            let asked = server.call("POST", "register", None, Some(&ask)).await.unauthorized();
            let stages: Vec<_> =
                asked["flows"].as_array().into_iter().flatten().map(|it| it["stages"].clone()).collect();
            assert!(stages.contains(&json!(["m.login.registration_token"])), "{asked}");
            ask["auth"] = json!({ "type": "m.login.registration_token", "token": token, "session": asked["session"] });
            server.call("POST", "register", None, Some(&ask)).await
        }
    };
    // The one that a newcomer finds on the screen.
    let printed = quickstart.printed("user add", 1).await;
    let listed = cli.run(&["token", "list", "--json"]).await.json();
    let known: Vec<String> =
        find_texts(&listed).into_iter().filter(|it| it.len() > 5 && printed.contains(it.as_str())).collect();
    let own =
        known.first().unwrap_or_else(|| panic!("the printed token is none of the listed: {listed}\n{printed}")).clone();
    assert_eq!(register(own).await.status, 200);

    let made = cli.run(&["token", "add", "--json"]).await.json();
    let token = find_texts(&made).into_iter().max_by_key(String::len).expect("a token");
    assert_eq!(register(token.clone()).await.status, 200);
    let _ = cli.run(&["token", "revoke", &token]).await.ok();
    let begin = Instant::now();
    while register(token.clone()).await.status == 200 {
        assert!(begin.elapsed() < SHOWN, "a revoked token still opens");
    }
    assert_eq!(register("no-such-token".to_owned()).await.status, 401);
}

/// Every text in a JSON value.
fn find_texts(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(items) => items.iter().flat_map(find_texts).collect(),
        Value::Object(map) => map.values().flat_map(find_texts).collect(),
        _ => Vec::new(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_works_while_the_server_is_down() {
    let _turn = turn::shared().await;
    let mut quickstart = Quickstart::start().await;
    quickstart.terminate().await;

    let cli = quickstart.cli();
    let _ = cli.run_with_input(&["user", "add", "dora", "--admin", "--password-stdin"], "a fine password\n").await.ok();
    let listed = cli.run(&["user", "list", "--json"]).await.json();
    assert!(listed.to_string().contains("dora"), "{listed}");
    assert_eq!(postmasters(&quickstart), 0, "what the command line started it stopped");

    quickstart.up();
    quickstart.ready(AFTER_KILL).await;
    let _ = quickstart.server().login("dora", "a fine password", None).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn several_quickstarts_run_side_by_side_and_one_folder_takes_one() {
    let _turn = turn::alone().await;
    let (one, two) = (Quickstart::start().await, Quickstart::start().await);
    let (alice, other) = (one.server().register("alice").await, two.server().register("alice").await);
    assert_eq!(alice.id, other.id);
    other.get("account/whoami").await.ok().get("user_id").expect("a user");
    alice.on(&two.server()).get("account/whoami").await.is(401, "M_UNKNOWN_TOKEN");

    let mut second = one.second_process();
    let status = second.wait(Duration::from_secs(20)).await;
    assert_eq!(status.code(), Some(1));
    assert!(second.logged().contains("already runs"), "{}", second.logged());
    let _ = alice.get("account/whoami").await.ok();

    // The private cluster is nobody else's.
    let folder = one.data().join("postgres");
    assert_eq!(fs::metadata(&folder).expect("the cluster's folder").permissions().mode() & 0o777, 0o700);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_steps_are_printed_and_stay_the_same() {
    let _turn = turn::shared().await;
    let mut quickstart = Quickstart::start_with(&[]).await;
    let first = quickstart.printed("user add NAME --admin", 1).await;
    for needed in [quickstart.base().as_str(), &quickstart.data().to_string_lossy()] {
        assert!(first.contains(needed), "{needed:?} is not printed:\n{first}");
    }
    let listed = quickstart.cli().run(&["token", "list", "--json"]).await.json();
    let token = find_texts(&listed)
        .into_iter()
        .find(|it| it.len() > 5 && first.contains(it.as_str()))
        .expect("a printed token");
    quickstart.terminate().await;
    quickstart.up();
    quickstart.ready(AFTER_KILL).await;
    let known = first.matches(&token).count();
    let all = quickstart.printed(&token, 2 * known).await;
    assert_eq!(all.matches(&token).count(), 2 * known, "the same token both times:\n{all}");
}

#[tokio::test(flavor = "multi_thread")]
async fn mistakes_in_the_configuration_are_named() {
    let _turn = turn::shared().await;
    let folder = scratch::dir("config");
    let check = |text: &str| {
        let file = folder.join("roost.toml");
        fs::write(&file, text).expect("a file");
        let cli = Cli::with(&["--config", &file.to_string_lossy()]);
        async move { cli.run(&["config", "check"]).await }
    };

    let _ = check("server_name = \"example.org\"\n").await.ok();
    check("server_name = \"example.org\"\n[http]\nlisten_on = [\"127.0.0.1:1\"]\n").await.refused(1, "http.listen");
    check("server_name = \"example.org\"\nregistation.mode = \"open\"\n").await.refused(1, "registration.mode");
    check("server_name = \"example.org\"\n[http]\nlisten = 5\n").await.refused(1, "http.listen");
    check("server_name = \"not a name\"\n").await.refused(1, "server_name");
    check("this is not toml").await.refused(1, "TOML");
    assert_eq!(check("").await.code, Some(1), "a server needs a name");

    // The environment reaches every key, and is checked the same way.
    let mut command = roost();
    command.args(["quickstart", "--data-dir"]).arg(folder.join("data")).env("ROOST_RATE_LIMITS__ENABELD", "false");
    let log = scratch::log("config");
    let mut process = Process::spawn("quickstart", command, &log);
    assert_eq!(process.wait(Duration::from_secs(10)).await.code(), Some(1));
    assert!(process.logged().contains("ROOST_RATE_LIMITS__ENABLED"), "{}", process.logged());

    // The printed defaults are a valid configuration.
    let default = Cli::with(&[]).run(&["config", "default"]).await.ok();
    for key in ["server_name", "max_connections", "shared_secret", "default_version"] {
        assert!(default.contains(key), "{key} is missing in:\n{default}");
    }
    let _ = check(&format!("server_name = \"example.org\"\n{default}")).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn another_server_name_is_refused_in_words() {
    let _turn = turn::shared().await;
    let postgres = Postgres::start().await;
    let mut node = Node::start("named", "one.example", &postgres.url(), None, "");
    node.ready(Duration::from_secs(60)).await;
    let alice = node.server().user("alice").await;
    assert!(alice.id.ends_with(":one.example"), "{}", alice.id);
    node.terminate().await;

    let text = fs::read_to_string(node.config()).expect("the configuration");
    fs::write(node.config(), text.replace("one.example", "two.example")).expect("the configuration");
    let mut command = roost();
    command.arg("serve").arg("--config").arg(node.config());
    let mut process = Process::spawn("renamed", command, &scratch::log("renamed"));
    assert_eq!(process.wait(Duration::from_secs(20)).await.code(), Some(1));
    let words = process.logged();
    assert!(words.contains("one.example") && words.contains("two.example"), "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_database_is_said_and_survived() {
    let _turn = turn::alone().await;
    let mut cluster = Cluster::start(1).await;
    let server = cluster.server(0);
    let alice = server.user("alice").await;
    let room = alice.public_room("a room").await;
    alice.say(&room, "before").await;

    cluster.postgres.crash().await;
    let begin = Instant::now();
    let reply =
        alice.send_as(&room, "m.room.message", "during", json!({ "msgtype": "m.text", "body": "during" })).await;
    assert_eq!(reply.status, 503, "{}", reply.text());
    assert!(!reply.header("retry-after").is_empty(), "503 says when to come again");
    assert!(begin.elapsed() < Duration::from_secs(35), "an answer within reasonable time");
    let ready = server.call("GET", "/health/ready", None, None).await;
    assert_eq!(ready.status, 503, "{}", ready.text());
    assert!(ready.text().to_lowercase().contains("database"), "it says why: {}", ready.text());

    cluster.postgres.up().await;
    cluster.nodes[0].ready(Duration::from_secs(20)).await;
    let again =
        alice.send_as(&room, "m.room.message", "during", json!({ "msgtype": "m.text", "body": "during" })).await;
    let _ = again.ok();
    alice.say(&room, "after").await;
    assert_eq!(bodies(&history(&alice, &room, "b").await), ["before", "during", "after"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_have_a_listener_of_their_own() {
    let _turn = turn::shared().await;
    let port = roost_tests::port::free();
    let listen = format!("127.0.0.1:{port}");
    let quickstart = Quickstart::start_with(&[("ROOST_METRICS__LISTEN", &listen)]).await;
    let metrics = roost_tests::Server::at(&format!("http://{listen}"));
    let asked = quickstart.server().call("GET", "/_matrix/client/versions", None, None).await;
    assert!(!asked.header("x-request-id").is_empty(), "a request id in every answer: {:?}", asked.headers);

    let page = metrics.call("GET", "/metrics", None, None).await;

    assert_eq!(page.status, 200);
    let text = String::from_utf8_lossy(&page.bytes).into_owned();
    assert!(text.contains("/_matrix/client/versions"), "requests by route:\n{text}");
    assert_eq!(quickstart.server().call("GET", "/metrics", None, None).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_not_in_the_database_nor_in_the_log() {
    let _turn = turn::shared().await;
    let cluster = shared::cluster().await;
    let server = cluster.server(0);
    let alice = server.user("alice").await;
    let room = alice.public_room("a room").await;
    alice.say(&room, "words of no concern to the log").await;

    let dump = std::process::Command::new("pg_dump").arg(cluster.postgres.url()).output();
    let Ok(dump) = dump else { return };
    let dump = String::from_utf8_lossy(&dump.stdout).into_owned();
    assert!(dump.contains("CREATE TABLE"), "pg_dump gave nothing");
    let hex = |text: &str| text.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
    let logs: String = cluster.nodes.iter().map(|node| fs::read_to_string(node.log()).unwrap_or_default()).collect();
    for secret in [&alice.token, &alice.password] {
        assert!(!dump.contains(secret.as_str()) && !dump.contains(&hex(secret)), "a secret lies in the database");
        assert!(!logs.contains(secret.as_str()), "a secret is in the log");
    }
    assert!(dump.contains("$argon2id$") || dump.contains(&hex("$argon2id$")), "passwords are hashed with argon2id");
    assert!(!logs.contains("words of no concern"), "a message is in the log");
}
