//! A revoked token is refused everywhere, at once.

use std::time::{Duration, Instant};

use roost_tests::{Cluster, Server, User, turn};
use serde_json::json;

/// What "at once" means with and without NATS.
const AT_ONCE: Duration = Duration::from_millis(100);
const WITHOUT_NATS: Duration = Duration::from_secs(2);

/// Asks `node` again and again: a request begun `limit` after `revoked` or later must be refused, and so must every
/// one after the first refusal. Returns when the first refusal began.
async fn refused_within(user: &User, node: &Server, revoked: Instant, limit: Duration) -> Duration {
    let there = user.on(node);
    let mut first = None;
    let mut after_limit = 0;
    while after_limit < 5 {
        let begun = revoked.elapsed();
        let reply = there.get("account/whoami").await;
        match reply.status {
            401 => first = first.or(Some(begun)),
            200 => {
                assert!(begun < limit, "a request begun {begun:?} after the revocation was served");
                assert!(first.is_none(), "served again after a refusal");
            }
            _ => panic!("{}: {}", reply.status, reply.text()),
        }
        after_limit += u32::from(begun >= limit);
    }
    first.expect("a refusal")
}

/// Both nodes know the token well before it is revoked.
async fn warm(user: &User, cluster: &Cluster) {
    for node in &cluster.nodes {
        for _ in 0..3 {
            let _ = user.on(&node.server()).get("account/whoami").await.ok();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_token_is_refused_on_every_node() {
    let _turn = turn::alone().await;
    let mut cluster = Cluster::start(2).await;
    let (one, two) = (cluster.server(0), cluster.server(1));
    let alice = one.user("alice").await;

    let mut slowest = Duration::ZERO;
    for round in 0..20 {
        let device = alice.new_device().await;
        warm(&device, &cluster).await;
        device.on(if round % 2 == 0 { &one } else { &two }).logout().await;
        let revoked = Instant::now();
        let (here, there) = tokio::join!(
            refused_within(&device, &one, revoked, AT_ONCE),
            refused_within(&device, &two, revoked, AT_ONCE)
        );
        slowest = slowest.max(here).max(there);
    }
    println!("logout: the slowest refusal began {slowest:?} after the answer");

    // Every other way of losing a token.
    let device = alice.new_device().await;
    warm(&device, &cluster).await;
    let _ = alice.with_password("DELETE", &format!("devices/{}", device.device), json!({})).await.ok();
    refused_within(&device, &two, Instant::now(), AT_ONCE).await;

    let device = alice.new_device().await;
    warm(&device, &cluster).await;
    let _ = alice.with_password("POST", "account/password", json!({ "new_password": "another one" })).await.ok();
    refused_within(&device, &two, Instant::now(), AT_ONCE).await;

    let bob = two.user("bob").await;
    let device = bob.new_device().await;
    warm(&device, &cluster).await;
    let _ = bob.post("logout/all", json!({})).await.ok();
    refused_within(&device, &one, Instant::now(), AT_ONCE).await;

    let carol = two.user("carol").await;
    warm(&carol, &cluster).await;
    let _ = carol.with_password("POST", "account/deactivate", json!({})).await.ok();
    refused_within(&carol, &one, Instant::now(), AT_ONCE).await;

    // A long-poll that was waiting when its token went does not bring news.
    let dave = one.user("dave").await;
    let room = dave.public_room("a room").await;
    let eve = two.user("eve").await;
    eve.join(&room).await;
    eve.sync().await;
    eve.sync().await;
    let query = eve.sync_path("timeout=3000");
    let wait = async { (two.call("GET", &query, Some(&eve.token), None).await, Instant::now()) };
    let act = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        eve.on(&one).logout().await;
        tokio::time::sleep(AT_ONCE).await;
        dave.say(&room, "not for eve").await
    };
    let ((reply, _), secret) = tokio::join!(wait, act);
    assert!(!reply.text().contains(&secret), "a revoked device was shown an event: {}", reply.text());

    // NATS away: the newest slice is read from the database instead.
    cluster.nats.down();
    for round in 0..3 {
        let device = alice_again(&one, &alice).await;
        warm(&device, &cluster).await;
        device.on(if round % 2 == 0 { &one } else { &two }).logout().await;
        let revoked = Instant::now();
        let (here, there) = tokio::join!(
            refused_within(&device, &one, revoked, WITHOUT_NATS),
            refused_within(&device, &two, revoked, WITHOUT_NATS)
        );
        println!("without NATS: refusals began {here:?} and {there:?} after the answer");
    }
    cluster.nats.up().await;
}

/// A new device under the password that she has now.
async fn alice_again(server: &Server, alice: &User) -> User {
    let answer = server.login(alice.localpart(), "another one", None).await.ok();
    User::from_login(server.clone(), &answer, "another one")
}
