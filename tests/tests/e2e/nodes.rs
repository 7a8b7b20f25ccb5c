//! What an operator sees of nodes and their database.

use std::time::{Duration, Instant};

use roost_tests::{Server, http::text, node::Node, port, postgres::Postgres, turn};

#[tokio::test(flavor = "multi_thread")]
async fn a_held_snapshot_and_what_is_behind_are_told() {
    let _turn = turn::shared().await;
    let postgres = Postgres::start().await;
    let port = port::free();
    let metrics = format!("[metrics]\nlisten = \"127.0.0.1:{port}\"\n");
    let mut node = Node::start("told", "localhost", &postgres.url(), None, &metrics);
    node.ready(Duration::from_secs(60)).await;
    let metrics = Server::at(&format!("http://127.0.0.1:{port}"));
    let figure = async |name: &str| {
        let all = metrics.call("GET", "/metrics", None, None).await.bytes;
        let all = String::from_utf8(all).expect("text");
        let line = all.lines().find(|line| line.starts_with(&format!("{name} "))).expect("the figure").to_owned();
        line.rsplit(' ').next().and_then(|value| value.parse::<i64>().ok()).expect("a number")
    };
    let alice = node.server().user("alice").await;
    let room = alice.public_room("a room").await;
    alice.say(&room, "words").await;
    assert!(figure("roost_words_behind").await > 0, "words are taken in a little later");

    let mut held = postgres.connect().await;
    for sql in ["begin isolation level repeatable read", "select pos from counter"] {
        sqlx::query(sql).execute(&mut held).await.expect(sql);
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    let age = figure("roost_oldest_snapshot_seconds").await;
    assert!((2..60).contains(&age), "held for three seconds, told as {age}");
    let findings = node.cli().run(&["doctor", "--json"]).await.json();
    let word = |about: &str| {
        let finding = findings.as_array().expect("findings").iter().find(|it| it["about"] == about);
        text(&finding.unwrap_or_else(|| panic!("no word on {about}: {findings}"))["found"])
    };
    assert!(word("snapshots").contains("the oldest is of"), "{}", word("snapshots"));
    assert!(word("followers").contains("behind the log"), "{}", word("followers"));

    sqlx::query("commit").execute(&mut held).await.expect("commit");
    let begin = Instant::now();
    while figure("roost_words_behind").await > 0
        || figure("roost_pushes_behind").await > 0
        || figure("roost_oldest_snapshot_seconds").await > 1
    {
        assert!(begin.elapsed() < Duration::from_secs(40), "it stays behind");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
