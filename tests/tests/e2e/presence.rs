//! Who is online, and who sees it.

use std::time::Duration;

use roost_tests::{
    User,
    http::{Reply, seg},
    shared,
    sync::{filter, list},
    turn,
};
use serde_json::{Value, json};

async fn set(user: &User, presence: &str, message: Option<&str>) -> Reply {
    let mut body = json!({ "presence": presence });
    if let Some(message) = message {
        body["status_msg"] = json!(message);
    }
    user.put(&format!("presence/{}/status", seg(&user.id)), body).await
}

async fn status(asker: &User, of: &User) -> Reply {
    asker.get(&format!("presence/{}/status", seg(&of.id))).await
}

/// What a sync tells of a user's presence, or null.
fn told(sync: &Value, of: &User) -> Value {
    let events = list(&sync["presence"]["events"]);
    let found = events.into_iter().find(|event| event["sender"] == of.id.as_str() && event["type"] == "m.presence");
    found.map_or(Value::Null, |event| event["content"].clone())
}

async fn wait_until(user: &User, of: &User, presence: &str) -> Value {
    let found = |sync: &Value| Some(told(sync, of)).filter(|content| content["presence"] == presence);
    user.wait_for(&format!("presence `{presence}` of {}", of.id), found).await
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_share_a_room_see_each_other_on_all_nodes() {
    let _turn = turn::shared().await;
    let (here, there) = shared::nodes().await;
    let (alice, bob, eve) = (here.user("alice").await, there.user("bob").await, here.user("eve").await);
    let room = alice.public_room("together").await;
    bob.join(&room).await;
    let _ = (alice.sync().await, bob.sync().await, eve.sync().await);

    // What one says is told to the other, on the other node, while they wait.
    let _ = set(&alice, "unavailable", Some("at lunch")).await.ok();
    let content = wait_until(&bob, &alice, "unavailable").await;
    assert_eq!((&content["status_msg"], &content["currently_active"]), (&json!("at lunch"), &json!(false)));
    let answer = status(&bob, &alice).await.ok();
    assert_eq!((&answer["presence"], &answer["status_msg"]), (&json!("unavailable"), &json!("at lunch")));

    // A sync says it too; and a message is a sign of life.
    let _ = alice.sync_with("timeout=0&set_presence=unavailable").await;
    alice.say(&room, "back").await;
    let content = wait_until(&bob, &alice, "online").await;
    assert_eq!(content["currently_active"], true);
    assert!(content["last_active_ago"].as_u64().is_some_and(|ago| ago < 15_000), "{content}");

    // Strangers see nothing, and nobody speaks for somebody else.
    status(&eve, &alice).await.is(403, "M_FORBIDDEN");
    assert_eq!(told(&eve.sync().await, &alice), Value::Null);
    let path = format!("presence/{}/status", seg(&alice.id));
    eve.put(&path, json!({ "presence": "offline" })).await.is(403, "M_FORBIDDEN");
    eve.put(&format!("presence/{}/status", seg(&eve.id)), json!({ "presence": "asleep" })).await.is(400, "M_BAD_JSON");
    // Whoever comes into a room is told of those who are there, and they of the newcomer.
    eve.join(&room).await;
    wait_until(&eve, &alice, "online").await;
    wait_until(&alice, &eve, "online").await;

    // A client that comes to another node is told everything there.
    let moved = bob.on(&here);
    assert_eq!(told(&moved.sync_with("timeout=2000").await, &alice)["presence"], "online");
    // A filter is respected, by what is told and by what wakes.
    let quiet = filter(&json!({ "presence": { "not_types": ["m.presence"] } }));
    let _ = moved.sync_with(&format!("timeout=0&filter={quiet}")).await;
    let _ = set(&alice, "unavailable", None).await.ok();
    let begin = std::time::Instant::now();
    let sync = moved.sync_with(&format!("timeout=1500&filter={quiet}")).await;
    assert!(sync["presence"].is_null(), "{sync}");
    assert!(begin.elapsed() >= Duration::from_millis(1400), "woken for nothing after {:?}", begin.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_stops_to_poll_goes_offline_and_a_hidden_one_never_shows() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let (alice, bob, hidden) = (server.user("alice").await, server.user("bob").await, server.user("hidden").await);
    let room = alice.public_room("together").await;
    bob.join(&room).await;
    hidden.join(&room).await;
    let _ = hidden.sync_with("timeout=0&set_presence=offline").await;
    let _ = alice.sync().await;
    wait_until(&bob, &alice, "online").await;
    assert_eq!(status(&bob, &hidden).await.ok()["presence"], "offline");

    // Nobody polls for her any more; half a minute later she is gone, and bob, who waits, is told.
    let found = |sync: &Value| Some(told(sync, &alice)).filter(|content| content["presence"] == "offline");
    let begin = std::time::Instant::now();
    loop {
        let sync = bob.sync_with("timeout=10000").await;
        assert_eq!(told(&sync, &hidden), Value::Null);
        if found(&sync).is_some() {
            break;
        }
        assert!(begin.elapsed() < Duration::from_secs(60), "still not offline: {sync}");
    }
    assert!(begin.elapsed() > Duration::from_secs(20), "gone after {:?}", begin.elapsed());
}
