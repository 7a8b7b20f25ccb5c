//! An operator's first day: a backup, a restore, a move to an own PostgreSQL, a doctor, a louder log, a newer schema, a supervisor.

use std::{
    fs,
    os::unix::{fs::PermissionsExt as _, net::UnixDatagram},
    time::Duration,
};

use roost_tests::{
    Cluster, Quickstart, Server, User,
    cli::Cli,
    driver::{Driver, MATRIX_SDK},
    http::text,
    node::Node,
    postgres::Postgres,
    scratch,
    sync::{bodies, timeline},
    timeline::history,
    turn,
};
use serde_json::{Value, json};
use sqlx::Connection as _;

/// What the encrypted room's phone says before the backup.
const SECRETS: usize = 12;

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_brings_back_history_media_and_encryption_and_moves_to_another_postgresql() {
    let _turn = turn::shared().await;
    let mut quickstart = Quickstart::start().await;
    let server = quickstart.server();
    let alice = server.user("alice").await;
    let room = alice.public_room("a room").await;
    alice.say(&room, "before").await;
    let picture = b"\x89PNG\r\n\x1a\n picture".repeat(5000);
    let media = upload(&alice, &picture).await;

    let account = json!({ "server": server.base(), "user": scratch::name("phone"), "password": "correct horse" });
    let store = scratch::dir("phone");
    let mut ask = account.clone();
    ask["store"] = json!(store);
    let mut phone = Driver::start(MATRIX_SDK, "phone");
    let session = phone.ask("register", ask).await;
    phone.ask("sync_once", json!({})).await;
    let secret = phone.ask("create_room", json!({ "name": "secrets", "encrypted": true, "public": true })).await;
    let secret = text(&secret["room"]);
    let secrets: Vec<_> = (0..SECRETS).map(|n| format!("secret {n}")).collect();
    for words in &secrets {
        phone.ask("send_text", json!({ "room": secret, "body": words })).await;
    }
    alice.sync().await;

    // While messages go on; each acknowledged before it began is in it.
    let file = scratch::path("backup.roost");
    let name = file.to_string_lossy().into_owned();
    let noise = async {
        for n in 0..100 {
            alice.say(&room, &format!("meanwhile {n}")).await;
        }
    };
    let cli = quickstart.cli();
    let words = ["backup", &name, "--json"];
    let (printed, ()) = tokio::join!(cli.run(&words), noise);
    let written = printed.json();
    assert_eq!(written["media_files"], 2, "the picture, and by what the folder is known: {written}");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600, "it holds the signing key");
    cli.run(&["backup", &name]).await.refused(1, "is there already");
    cli.run(&["restore", &name]).await.refused(1, "new media folder");
    alice.say(&room, "lost").await;
    let last = alice.sync().await;
    assert!(bodies(&timeline(&last, &room)).contains(&"lost".to_owned()));
    phone.ask("shutdown", json!({})).await;
    drop(phone);

    // The disk is lost.
    let (_, status) = quickstart.terminate().await;
    assert!(status.success());
    fs::remove_dir_all(quickstart.data()).unwrap();
    let whole = fs::read(&file).unwrap();
    let cut = scratch::path("cut.roost");
    fs::write(&cut, &whole[..whole.len() - 4096]).unwrap();
    cli.run(&["restore", &cut.to_string_lossy()]).await.refused(1, "is not whole");
    fs::remove_dir_all(quickstart.data()).unwrap();
    fs::write(&cut, b"something else").unwrap();
    cli.run(&["restore", &cut.to_string_lossy()]).await.refused(1, "is no backup of Roost");
    let restored = cli.run(&["restore", &name, "--json"]).await.json();
    assert_eq!(restored["server_name"], "localhost");
    cli.run(&["restore", &name]).await.refused(1, "is not empty");
    quickstart.up();
    quickstart.ready(Duration::from_secs(60)).await;

    let heard = bodies(&history(&alice, &room, "b").await);
    assert_eq!(heard[0], "before");
    assert!(!heard.contains(&"lost".to_owned()), "the backup is older");
    assert_eq!(download(&alice, &media).await, picture);
    // Her token is of what was lost: she is told what came after the backup, and goes on.
    alice.say(&room, "after").await;
    assert!(bodies(&timeline(&alice.sync().await, &room)).contains(&"after".to_owned()), "the old sync token goes on");

    // The phone reads and decrypts its history, and can be written to with new one-time keys.
    let counts = raw_counts(&server, &text(&session["access_token"])).await;
    assert_eq!(counts, 0, "one-time keys of the backup are not given out");
    let mut phone = Driver::start(MATRIX_SDK, "phone");
    phone.ask("restore", json!({ "store": store })).await;
    phone.ask("sync_once", json!({})).await;
    phone.ask("sync_start", json!({})).await;
    let read = phone.ask("timeline", json!({ "room": secret, "limit": 100 })).await;
    let read: Vec<_> = read["events"].as_array().unwrap().iter().filter(|it| it["kind"] == "text").collect();
    assert_eq!(read.iter().map(|it| text(&it["body"])).collect::<Vec<_>>(), secrets);
    assert!(raw_counts(&server, &text(&session["access_token"])).await > 0, "the phone uploaded new ones");
    let mut tablet = Driver::start(MATRIX_SDK, "tablet");
    let other = json!({ "server": server.base(), "user": scratch::name("tablet"), "password": "correct horse",
        "store": scratch::dir("tablet") });
    tablet.ask("register", other).await;
    tablet.ask("sync_once", json!({})).await;
    tablet.ask("join", json!({ "room": secret })).await;
    tablet.ask("sync_once", json!({})).await;
    tablet.ask("send_text", json!({ "room": secret, "body": "hello from a newcomer" })).await;
    for attempt in 0.. {
        if phone.saw(&secret, "text").contains(&"hello from a newcomer".to_owned()) {
            break;
        }
        assert!(attempt < 200, "the phone can't read the newcomer: {:?}", phone.saw(&secret, "undecryptable"));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }

    move_to_own_postgresql(&quickstart.cli(), &alice, &room, (&media, &picture)).await;
}

/// Backup there, restore here.
async fn move_to_own_postgresql(from: &Cli, alice: &User, room: &str, (media, picture): (&str, &[u8])) {
    let file = scratch::path("move.roost").to_string_lossy().into_owned();
    let _ = from.run(&["backup", &file]).await.ok();
    let (postgres, folder) = (Postgres::start().await, scratch::path("moved-media"));
    let more = format!("[media]\npath = \"{}\"\n", folder.display());
    let config = scratch::path("moved.toml");
    let write = |name: &str| {
        let text = format!("server_name = \"{name}\"\n[database]\nurl = \"{}\"\n{more}", postgres.url());
        fs::write(&config, text).unwrap();
    };
    let cli = Cli::with(&["--config", &config.to_string_lossy()]);
    write("other.example");
    cli.run(&["restore", &file]).await.refused(1, "is of the server `localhost`");
    write("localhost");
    let said = cli.run(&["restore", &file]).await.ok();
    assert!(said.contains("Restored the server `localhost`"), "{said}");
    fs::rename(&folder, folder.with_extension("aside")).unwrap();
    cli.run(&["restore", &file]).await.refused(1, "the database is not empty");
    fs::rename(folder.with_extension("aside"), &folder).unwrap();

    let mut node = Node::start("moved", "localhost", &postgres.url(), None, &more);
    node.ready(Duration::from_secs(60)).await;
    let alice = alice.on(&node.server());
    assert_eq!(bodies(&history(&alice, room, "f").await).last().map(String::as_str), Some("after"));
    assert_eq!(download(&alice, media).await, picture);
}

async fn upload(user: &User, bytes: &[u8]) -> String {
    let body = Some(("image/png", bytes.to_vec()));
    let uploaded = user.server.try_bytes("POST", "/_matrix/media/v3/upload", Some(&user.token), body).await.unwrap();
    text(&uploaded.ok()["content_uri"]).trim_start_matches("mxc://").to_owned()
}

async fn download(user: &User, media: &str) -> Vec<u8> {
    let reply = user.get(&format!("/_matrix/client/v1/media/download/{media}")).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.bytes
}

/// How many one-time keys a device has on the server.
async fn raw_counts(server: &Server, token: &str) -> u64 {
    let reply = server.call("GET", "sync?timeout=0", Some(token), None).await.ok();
    reply["device_one_time_keys_count"]["signed_curve25519"].as_u64().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_are_examined_made_louder_and_keep_off_a_schema_that_is_too_new() {
    let _turn = turn::shared().await;
    let mut cluster = Cluster::start(2).await;
    let cli = cluster.nodes[0].cli();

    let verdicts = |findings: &Value| -> Vec<(String, String)> {
        let findings = findings.as_array().unwrap().iter();
        findings.map(|it| (text(&it["about"]), text(&it["verdict"]))).collect()
    };
    let findings = cli.run(&["doctor", "--json"]).await.json();
    for (about, verdict) in verdicts(&findings) {
        assert_eq!(verdict, "good", "{about}: {findings}");
    }
    let about: Vec<_> = verdicts(&findings).into_iter().map(|(about, _)| about).collect();
    for wanted in [
        "configuration",
        "clock",
        "data folder",
        "media folder",
        "media",
        "database",
        "schema",
        "clocks",
        "backup",
        "nats",
        "server",
        "name",
    ] {
        assert!(about.iter().any(|it| it == wanted), "{wanted} is not looked at: {about:?}");
    }
    let version = cli_plain(&["version", "--json"]).await.json();
    let schema = version["schema"].as_i64().unwrap();
    assert!(schema >= 11, "{version}");

    // Louder, on all nodes, without a restart.
    let (one, two) = (cluster.server(0), cluster.server(1));
    let debug = |index: usize| fs::read_to_string(cluster.nodes[index].log()).unwrap().matches("DEBUG").count();
    assert_eq!((debug(0), debug(1)), (0, 0));
    cli.run(&["log", "very loud"]).await.refused(2, "is no level");
    let _ = cli.run(&["log", "info,roost::http=debug"]).await.ok();
    for attempt in 0.. {
        for server in [&one, &two] {
            let _ = server.call("GET", "/_matrix/client/versions", None, None).await.ok();
        }
        if debug(0) > 0 && debug(1) > 0 {
            break;
        }
        assert!(attempt < 50, "{} and {} lines", debug(0), debug(1));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let _ = cli.run(&["log", "default"]).await.ok();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let before = debug(0);
    let _ = one.call("GET", "/_matrix/client/versions", None, None).await.ok();
    assert_eq!(debug(0), before, "as configured again");

    // A newer Roost was here. What it added is no reason to stop; what it took away is.
    let mut database = cluster.postgres.connect().await;
    let newer = "insert into _sqlx_migrations (version, description, success, checksum, execution_time) \
                 values (9000, 'from the future', true, '\\x00', 1)";
    sqlx::query(newer).execute(&mut database).await.unwrap();
    let (_, status) = cluster.nodes[1].terminate().await;
    assert!(status.success());
    cluster.nodes[1].up();
    cluster.nodes[1].ready(Duration::from_secs(30)).await;
    let doctor = cli.run(&["doctor", "--json"]).await.json();
    assert!(verdicts(&doctor).contains(&("schema".to_owned(), "advice".to_owned())), "{doctor}");

    sqlx::query("update schema_floor set version = 9000").execute(&mut database).await.unwrap();
    database.close().await.unwrap();
    cli.run(&["user", "list"]).await.refused(1, "run a newer version");
    let doctor = cli.run(&["doctor"]).await;
    doctor.refused(1, "one thing is wrong");
    assert!(doctor.out.contains("WRONG   schema"), "{}", doctor.out);
    cluster.nats.down();
    let doctor = cli.run(&["doctor", "--json"]).await;
    doctor.refused(1, "2 things are wrong");
    let found: Value = serde_json::from_str(&doctor.out).unwrap();
    assert!(verdicts(&found).contains(&("nats".to_owned(), "wrong".to_owned())), "{found}");
}

async fn cli_plain(words: &[&str]) -> roost_tests::cli::Printed {
    Cli::with(&[]).run(words).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_supervisor_is_told_when_the_server_is_ready_and_when_it_goes() {
    let _turn = turn::shared().await;
    let path = scratch::path("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    // Root's PostgreSQL runs as somebody else, who could write there, too.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let told = || {
        let mut buffer = [0; 100];
        let count = socket.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..count]).into_owned()
    };
    let mut quickstart = Quickstart::start_with(&[("NOTIFY_SOCKET", &path.to_string_lossy())]).await;
    assert_eq!(told(), "READY=1");
    let (_, status) = quickstart.terminate().await;
    assert!(status.success());
    assert_eq!(told(), "STOPPING=1");
}
