//! Without its database a server says so, at every endpoint, and recovers by itself.

use std::{
    fs,
    time::{Duration, Instant},
};

use futures::StreamExt as _;
use roost_tests::{Cluster, turn};
use serde_json::json;

use super::{
    findings::PATIENCE,
    scene::{Scene, routes},
    table::{Body, takes},
};

#[tokio::test(flavor = "multi_thread")]
async fn without_its_database_every_endpoint_says_so() {
    let _turn = turn::alone().await;
    let listed = routes().await;
    let mut cluster = Cluster::start(1).await;
    let server = cluster.server(0);
    let scene = Scene::new(&server).await;

    cluster.postgres.stop().await;
    // What is answered from memory is a second old at most.
    tokio::time::sleep(Duration::from_secs(2)).await;

    let live = server.call("GET", "/health/live", None, None).await;
    assert_eq!(live.status, 200, "{}", live.text());
    let ready = server.call("GET", "/health/ready", None, None).await;
    assert_eq!(ready.status, 503, "{}", ready.text());
    assert!(!ready.header("retry-after").is_empty(), "it says when to come again");
    assert!(ready.text().contains("database"), "it says why: {}", ready.text());

    let scene_ref = &scene;
    let judged = listed.iter().filter(|route| !route.is_alias());
    let judged = judged.filter_map(|route| Some((route, takes(&route.method, &route.path)?)));
    let found: Vec<String> = futures::stream::iter(judged)
        .map(async |(route, takes)| {
            let path = scene_ref.path(route, &takes, None);
            let body = match takes.body {
                Body::Must(kind) | Body::May(kind) => kind.sample(scene_ref).to_string(),
                _ => "{}".to_owned(),
            };
            let token = takes.token.then_some(scene_ref.user.token.as_str());
            let reply = match scene_ref.ask(route, &path, token, Some(body.into_bytes())).await {
                Ok(reply) => reply,
                Err(error) => return Some(error),
            };
            let away = reply.status == 503 && !reply.header("retry-after").is_empty();
            // What needs no token may need no database either.
            let answered = away || (!takes.token && reply.status < 500);
            let in_time = reply.took < PATIENCE;
            (!answered || !in_time).then(|| format!("{}: {} in {:?}", reply.asked, reply.text(), reply.took))
        })
        .buffer_unordered(24)
        .filter_map(async |found| found)
        .collect()
        .await;
    assert!(found.is_empty(), "{} findings:\n{}", found.len(), found.join("\n"));

    cluster.postgres.up().await;
    let begin = Instant::now();
    cluster.nodes[0].ready(Duration::from_secs(10)).await;
    let content = json!({ "msgtype": "m.text", "body": "back" });
    let _ = scene.user.send_as(&scene.room, "m.room.message", "back", content).await.ok();
    assert!(begin.elapsed() < Duration::from_secs(15), "recovered after {:?}", begin.elapsed());
    let log = fs::read_to_string(cluster.nodes[0].log()).expect("the node's log");
    assert!(!log.contains("panicked"), "a part of the server panicked:\n{log}");
}
