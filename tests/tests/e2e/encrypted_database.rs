//! A PostgreSQL on another host: spoken to with TLS only, and only if its certificate is right.

use std::{fs, time::Instant};

use roost_tests::{
    authority::Authority,
    http::text,
    node::{Node, roost},
    postgres::Postgres,
    process::Process,
    scratch, turn,
};
use serde_json::Value;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn a_node_checks_the_certificate_of_its_database() {
    let _turn = turn::shared().await;
    let authority = Authority::new();
    let postgres = Postgres::start_encrypted(&authority.sign(&["127.0.0.1"])).await;
    let (root, stranger) = (scratch::path("root.pem"), scratch::path("stranger.pem"));
    fs::write(&root, authority.root()).unwrap();
    fs::write(&stranger, Authority::new().root()).unwrap();
    let url = |mode: &str| format!("{}?sslmode={mode}", postgres.url());
    let full = format!("{}&sslrootcert={}", url("verify-full"), root.display());
    let mut node = Node::start("encrypted", "localhost", &full, None, "");
    node.ready(Duration::from_secs(60)).await;

    let alice = node.server().user("alice").await;
    let room = alice.public_room("a room").await;
    alice.say(&room, "nobody listens").await;
    // The log's own connections too: the writing one, and the one that listens to the command line.
    let count = "select count(*) from pg_stat_activity a join pg_stat_ssl s using (pid)
                  where a.application_name = 'roost' and s.ssl";
    assert!(postgres.number(count).await >= 3);
    let heard = "select count(*) from pg_stat_activity a join pg_stat_ssl s using (pid)
                  where a.application_name = 'roost' and s.ssl and a.query ilike 'listen%'";
    assert_eq!(postgres.number(heard).await, 1, "one listens");
    let cli = node.cli();
    let _ = cli.run(&["user", "lock", alice.localpart()]).await.ok();
    let begin = Instant::now();
    while alice.get("account/whoami").await.status != 401 {
        assert!(begin.elapsed() < Duration::from_secs(1), "the node did not hear of the command line");
    }
    let backup = scratch::path("encrypted.backup");
    let _ = cli.run(&["backup", &backup.to_string_lossy()]).await.ok();
    let findings = cli.run(&["doctor", "--json"]).await.json();
    let found = |findings: &Value, about: &str| -> String {
        let found = findings.as_array().unwrap().iter().find(|it| it["about"] == about);
        text(&found.unwrap_or_else(|| panic!("{about}: {findings}"))["found"])
    };
    assert!(found(&findings, "encryption").contains("TLSv1.3"), "{findings}");

    // Each is said at once, and in words; nothing is tried for half a minute.
    let config = fs::read_to_string(node.config()).unwrap();
    let path = node.config().to_owned();
    let with = |url: &str| fs::write(&path, config.replace(&full, url)).unwrap();
    let elsewhere = full.replace("127.0.0.1", "localhost");
    let wrong_root = full.replace(&*root.to_string_lossy(), &stranger.to_string_lossy());
    for (url, words) in [
        (wrong_root.as_str(), "invalid peer certificate"),
        (url("verify-full").as_str(), "UnknownIssuer"),
        (elsewhere.as_str(), "not valid for name"),
        (&full.replace("root.pem", "missing.pem"), "missing.pem"),
        (&url("disable"), "no encryption"),
    ] {
        with(url);
        let begin = Instant::now();
        cli.run(&["user", "list"]).await.refused(1, words);
        assert!(begin.elapsed() < Duration::from_secs(10), "{url}: {:?}", begin.elapsed());
    }
    let doctor = cli.run(&["doctor"]).await;
    doctor.refused(1, "wrong");

    node.terminate().await;
    with(&wrong_root);
    let mut command = roost();
    command.arg("serve").arg("--config").arg(node.config());
    let mut process = Process::spawn("mistrusting", command, &scratch::log("mistrusting"));
    assert_eq!(process.wait(Duration::from_secs(10)).await.code(), Some(1));
    assert!(process.logged().contains("`sslrootcert` in `database.url`"), "{}", process.logged());

    // Who checks less gets in: any certificate, or any name.
    let any_name = format!("{}&sslrootcert={}", url("verify-ca"), root.display()).replace("127.0.0.1", "localhost");
    for url in [url("require"), any_name] {
        with(&url);
        let listed = cli.run(&["user", "list", "--json"]).await.json();
        assert!(listed.to_string().contains(alice.localpart()), "{listed}");
    }
}
