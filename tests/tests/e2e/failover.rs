//! A standby takes the primary's place and lacks the newest commits: nodes begin anew by themselves, and clients go on from
//! where the new history does.

use std::time::{Duration, Instant};

use roost_tests::{
    Cluster, User,
    http::{Reply, text},
    postgres::Postgres,
    sync::{bodies, timeline},
    timeline::history,
    turn,
    user::at,
};
use serde_json::{Value, json};

/// How soon the nodes have to serve again.
const SOON: Duration = Duration::from_secs(20);

/// Repeats a request until it is served; 503 and no answer are what a client must expect.
async fn insist(user: &User, method: &str, path: &str, body: Option<&Value>) -> Reply {
    let begin = Instant::now();
    loop {
        let answer = user.server.try_call(method, path, Some(&user.token), body).await;
        match answer {
            Ok(reply) if reply.status != 503 => return reply,
            other => assert!(begin.elapsed() < SOON, "{method} {path}: {other:?}"),
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn say(user: &User, room: &str, words: &str) -> String {
    let content = json!({ "msgtype": "m.text", "body": words });
    let path = at(room, &format!("send/m.room.message/{}", words.replace(' ', "-")));
    text(&insist(user, "PUT", &path, Some(&content)).await.ok()["event_id"])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_that_lacks_the_newest_commits_takes_over() {
    let _turn = turn::alone().await;
    let mut cluster = Cluster::start(2).await;
    let mut standby = Postgres::standby_of(&cluster.postgres).await;
    let nodes = [cluster.server(0), cluster.server(1)];
    let (alice, bob) = (nodes[0].user("alice").await, nodes[1].user("bob").await);
    let room = alice.public_room("a room").await;
    bob.join(&room).await;
    alice.say(&room, "kept").await;
    bob.sync().await;
    let before = cluster.postgres.number("select generation from server").await;
    standby.catch_up(&cluster.postgres).await;
    standby.detach().await;

    // All of this is told to clients, and then gone.
    for n in 0..20 {
        alice.say(&room, &format!("lost {n}")).await;
    }
    let carol = nodes[0].user("carol").await;
    let gone = carol.public_room("a room that is gone").await;
    carol.join(&room).await;
    carol.say(&room, "lost too").await;
    let _ = alice.set_state(&room, "m.room.topic", "", json!({ "topic": "lost" })).await.ok();
    let seen = bodies(&timeline(&bob.sync().await, &room));
    assert!(seen.contains(&"lost too".to_owned()), "{seen:?}");
    alice.sync().await;

    standby.promote(&mut cluster.postgres).await;
    std::mem::swap(&mut standby, &mut cluster.postgres);
    let back = Instant::now();
    let mut said = Vec::new();
    for n in 0..5 {
        said.push(say(&alice, &room, &format!("first node {n}")).await);
        said.push(say(&bob, &room, &format!("second node {n}")).await);
    }
    println!("both nodes take messages {:.1?} after the promotion", back.elapsed());
    let after = cluster.postgres.number("select generation from server").await;
    assert!(after > before, "generation {after} after {before}");

    // Their tokens are beyond the new history's end, or within it: they are told all that came, in order.
    for user in [&alice, &bob] {
        let mut came = Vec::new();
        for _ in 0..3 {
            let sync = insist(user, "GET", &user.sync_path("timeout=0"), None).await.ok();
            user.rewind(Some(text(&sync["next_batch"])));
            came.extend(timeline(&sync, &room).iter().map(|event| text(&event["event_id"])));
        }
        came.retain(|id| said.contains(id));
        assert_eq!(came, said, "{}", user.id);
    }
    for user in [&alice, &bob] {
        for node in &nodes {
            let here = user.on(node);
            let heard = bodies(&history(&here, &room, "b").await);
            assert!(!heard.iter().any(|body| body.starts_with("lost")), "{heard:?}");
            assert!(heard.contains(&"kept".to_owned()) && heard.contains(&"second node 4".to_owned()), "{heard:?}");
            here.state(&room, "m.room.topic", "").await.is(404, "M_NOT_FOUND");
            let members = here.get(&at(&room, "joined_members")).await.ok();
            assert_eq!(members["joined"].as_object().map(serde_json::Map::len), Some(2), "{members}");
        }
    }
    // Who came in what is lost was never here.
    for node in &nodes {
        let here = carol.on(node);
        here.get("account/whoami").await.is(401, "M_UNKNOWN_TOKEN");
        alice.on(node).post(&format!("join/{gone}"), json!({})).await.is(404, "M_NOT_FOUND");
    }
    // Names and numbers are given anew, to others.
    let dora = nodes[1].user("dora").await;
    dora.join(&room).await;
    dora.say(&room, "from dora").await;
    let own = dora.public_room("another room").await;
    alice.join(&own).await;
    alice.say(&own, "hello").await;
    assert!(bodies(&timeline(&dora.sync().await, &own)).contains(&"hello".to_owned()));
    let heard = history(&alice, &room, "b").await;
    assert!(heard.iter().any(|event| event["sender"] == dora.id.as_str() && event["content"]["body"] == "from dora"));
}
