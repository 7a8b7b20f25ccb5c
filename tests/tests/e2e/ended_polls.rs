//! A long-poll that waits when its user is locked or its device logged out: it ends with the reason, and before anything newer
//! is told.

use std::time::{Duration, Instant};

use roost_tests::{
    Reply, User, shared,
    sliding::{Phone, UNSTABLE},
    sync::timeline,
    turn,
};
use serde_json::{Value, json};

/// How long the poll waits by itself, and how soon it must end.
const POLL: u32 = 20_000;
const SOON: Duration = Duration::from_secs(5);

fn ask() -> Value {
    json!({ "lists": { "all": { "ranges": [[0, 9]], "timeline_limit": 5, "required_state": [] } } })
}

/// Both kinds of sync of one device, each from where all was told.
async fn polls(user: &User) -> (String, String) {
    user.sync().await;
    // Their own presence comes with the first.
    user.sync().await;
    let phone = Phone::new(user, ask());
    phone.look().await;
    phone.look().await;
    let pos = roost_tests::http::seg(&phone.pos().expect("a position"));
    (user.sync_path(&format!("timeout={POLL}")), format!("{UNSTABLE}?timeout={POLL}&pos={pos}"))
}

async fn wait(user: &User, (sync, sliding): &(String, String)) -> [(Reply, Duration); 2] {
    let begin = Instant::now();
    let ended = async |reply: Reply| (reply, begin.elapsed());
    let (one, two) = tokio::join!(async { ended(user.get(sync).await).await }, async {
        ended(user.post(sliding, ask()).await).await
    });
    [one, two]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_user_s_polls_end_before_anything_newer_is_told() {
    let _turn = turn::shared().await;
    let cluster = shared::cluster().await;
    let (here, there) = (cluster.server(0), cluster.server(1));
    for server in [&here, &there] {
        let (alice, bob) = (here.user("alice").await, here.user("bob").await);
        let room = alice.public_room("a room").await;
        bob.join(&room).await;
        let bob = bob.on(server);
        let paths = polls(&bob).await;
        let act = async {
            tokio::time::sleep(Duration::from_millis(700)).await;
            let _ = cluster.nodes[0].cli().run(&["user", "lock", bob.localpart()]).await.ok();
            alice.say(&room, "not for bob").await
        };
        let (ended, secret) = tokio::join!(wait(&bob, &paths), act);
        for (reply, took) in ended {
            reply.is(401, "M_USER_LOCKED");
            assert_eq!(reply.body["soft_logout"], true, "{}", reply.text());
            assert!(!reply.text().contains(&secret) && took < SOON, "{took:?}");
        }
        // Whoever is let in again misses nothing.
        let _ = cluster.nodes[0].cli().run(&["user", "unlock", bob.localpart()]).await.ok();
        let told = bob.wait_for("what was said", |sync| {
            timeline(sync, &room).into_iter().find(|it| it["event_id"] == secret.as_str())
        });
        assert_eq!(told.await["content"]["body"], "not for bob");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_password_ends_the_polls_of_other_devices_and_leaves_its_own() {
    let _turn = turn::shared().await;
    let cluster = shared::cluster().await;
    let (here, there) = (cluster.server(0), cluster.server(1));
    let bob = here.user("bob").await;
    let phone = bob.new_device().await.on(&there);
    let (of_phone, of_bob) = (polls(&phone).await, polls(&bob).await);
    let short = (of_bob.0.replace("timeout=20000", "timeout=4000"), of_bob.1.replace("timeout=20000", "timeout=4000"));
    let act = async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        let _ = bob.with_password("POST", "account/password", json!({ "new_password": "another one" })).await.ok();
    };
    let (ended, own, ()) = tokio::join!(wait(&phone, &of_phone), wait(&bob, &short), act);
    for (reply, took) in ended {
        reply.is(401, "M_UNKNOWN_TOKEN");
        assert!(took < SOON, "{took:?}");
    }
    for (reply, _) in own {
        let _ = reply.ok();
    }
}
