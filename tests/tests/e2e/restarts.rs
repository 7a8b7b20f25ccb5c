//! Nodes that are restarted one after the other, and one that is killed, behind each proxy and under traffic: clients notice
//! nothing.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::future::join_all;
use reqwest::{Client, Method, StatusCode};
use roost_tests::{Cluster, User, http::seg, sync::bodies, timeline::history, turn};
use serde_json::{Value, json};

use crate::proxies::Proxies;

/// Between one restart and the next.
const APART: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(60);
/// Users behind each proxy.
const USERS: usize = 3;

/// What a proxy's clients met.
#[derive(Default)]
struct Met {
    answers: Mutex<usize>,
    failures: Mutex<Vec<String>>,
}

impl Met {
    async fn ask(&self, client: &Client, method: Method, url: &str, user: &User, body: Option<Value>) -> Option<Value> {
        let mut request = client.request(method.clone(), url).bearer_auth(&user.token);
        if let Some(body) = &body {
            request = request.json(body);
        }
        let failure = match request.send().await {
            Ok(answer) if answer.status() == StatusCode::OK => {
                *self.answers.lock().unwrap() += 1;
                return answer.json().await.ok();
            }
            Ok(answer) => format!("{method} {url}: {} {}", answer.status(), answer.text().await.unwrap_or_default()),
            Err(error) => format!("{method} {url}: {error:?}"),
        };
        self.failures.lock().unwrap().push(failure);
        None
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_restart_and_die_behind_each_proxy_and_no_request_fails() {
    let _turn = turn::alone().await;
    let mut cluster = Cluster::start(2).await;
    let server = cluster.server(0);
    let (one, two) = (server.base().to_owned(), cluster.server(1).base().to_owned());
    let proxies = &Proxies::start(&[&one, &two]).await;
    let mut users = Vec::new();
    for base in proxies.bases() {
        for _ in 0..USERS {
            let user = server.user("u").await;
            let room = user.public_room("a room").await;
            users.push((base, user, room));
        }
    }
    let (met, ends) = (Met::default(), AtomicBool::new(false));
    let (met, ends) = (&met, &ends);
    let talks = users.iter().map(|(base, user, room)| talk(&proxies.client, base, user, room, met, ends));
    let syncs = users.iter().map(|(base, user, _)| sync(&proxies.client, base, user, met, ends));
    let slides = users.iter().map(|(base, user, _)| slide(&proxies.client, base, user, met, ends));
    let restarts = async {
        tokio::time::sleep(APART).await;
        for node in &mut cluster.nodes {
            node.terminate().await;
            node.up();
            node.ready(PATIENCE).await;
            tokio::time::sleep(APART).await;
        }
        cluster.nodes[0].kill();
        tokio::time::sleep(APART).await;
        cluster.nodes[0].up();
        cluster.nodes[0].ready(PATIENCE).await;
        tokio::time::sleep(APART).await;
        ends.store(true, Ordering::Relaxed);
    };
    let (sent, ..) = tokio::join!(join_all(talks), join_all(syncs), join_all(slides), restarts);
    let (answers, failures) = (*met.answers.lock().unwrap(), met.failures.lock().unwrap().clone());
    println!("{answers} requests answered");
    assert!(
        failures.is_empty(),
        "{} of {answers} failed, first {:#?}",
        failures.len(),
        &failures[..failures.len().min(6)]
    );
    for ((_, user, room), sent) in users.iter().zip(sent) {
        assert!(sent.len() > 10, "{} said {} words", user.id, sent.len());
        assert_eq!(bodies(&history(&user.on(&server), room, "b").await), sent, "each once, in order");
    }
}

/// Says one thing after the other. Returns what was acknowledged.
async fn talk(client: &Client, base: &str, user: &User, room: &str, met: &Met, ends: &AtomicBool) -> Vec<String> {
    let mut sent = Vec::new();
    while !ends.load(Ordering::Relaxed) {
        let words = format!("word {}", sent.len());
        let url = format!("{base}/_matrix/client/v3/rooms/{}/send/m.room.message/{}", seg(room), sent.len());
        let body = json!({ "msgtype": "m.text", "body": words });
        if met.ask(client, Method::PUT, &url, user, Some(body)).await.is_some() {
            sent.push(words);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    sent
}

async fn sync(client: &Client, base: &str, user: &User, met: &Met, ends: &AtomicBool) {
    let mut since = String::new();
    while !ends.load(Ordering::Relaxed) {
        let url = format!("{base}/_matrix/client/v3/sync?timeout=1000{since}");
        if let Some(answer) = met.ask(client, Method::GET, &url, user, None).await {
            since = format!("&since={}", answer["next_batch"].as_str().unwrap_or_default());
        }
    }
}

async fn slide(client: &Client, base: &str, user: &User, met: &Met, ends: &AtomicBool) {
    let mut pos = String::new();
    let ask = json!({ "conn_id": "c", "lists": { "all": { "ranges": [[0, 9]], "timeline_limit": 1, "required_state": [] } } });
    while !ends.load(Ordering::Relaxed) {
        let path = "_matrix/client/unstable/org.matrix.simplified_msc3575/sync";
        let url = format!("{base}/{path}?timeout=1000{pos}");
        let answer = met.ask(client, Method::POST, &url, user, Some(ask.clone())).await;
        pos = answer.map_or(String::new(), |answer| format!("&pos={}", answer["pos"].as_str().unwrap_or_default()));
    }
}
