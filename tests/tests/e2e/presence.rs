//! Who is online, and who sees it; and what that costs.

use std::{
    fs,
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use futures::{StreamExt as _, future::join_all, stream};
use roost_tests::{
    User,
    http::{Reply, seg},
    node::Node,
    postgres::Postgres,
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

    // A client that comes to another node is told nothing again.
    let moved = bob.on(&here);
    assert_eq!(told(&moved.sync_with("timeout=0").await, &alice), Value::Null);
    // A filter is respected, by what is told and by what wakes.
    let quiet = filter(&json!({ "presence": { "not_types": ["m.presence"] } }));
    let _ = moved.sync_with(&format!("timeout=0&filter={quiet}")).await;
    let _ = set(&alice, "unavailable", None).await.ok();
    let begin = Instant::now();
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
    let begin = Instant::now();
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

const USERS: usize = 1_000;
const IN_A_ROOM: usize = 20;
/// How often each of them changes state.
const PERIOD: Duration = Duration::from_secs(10);
const MEASURED: Duration = Duration::from_secs(15);
/// Of a core.
const BUDGET: f64 = 0.05;

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_users_who_change_state_cost_a_twentieth_of_a_core() {
    let _turn = turn::alone().await;
    let own = std::process::id().to_string();
    let _ = Command::new("prlimit").args(["--pid", &own, "--nofile=16384:"]).status();
    let postgres = Postgres::start().await;
    let mut node = Node::start("alone", "localhost", &postgres.url(), None, "");
    node.ready(Duration::from_secs(60)).await;
    let server = node.server();
    let begin = Instant::now();
    let users: Vec<User> = stream::iter(0..USERS).map(|_| server.user("u")).buffer_unordered(16).collect().await;
    stream::iter(users.chunks(IN_A_ROOM))
        .for_each_concurrent(8, |users| async move {
            let room = users[0].public_room("a room").await;
            for user in &users[1..] {
                user.join(&room).await;
            }
        })
        .await;
    stream::iter(&users).for_each_concurrent(16, |user| async { drop(user.sync().await) }).await;
    println!("{USERS} users in rooms of {IN_A_ROOM} in {:.1?}", begin.elapsed());

    // All of them wait for news all the time, as clients do, and each changes state again and again.
    let (changes, told) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let begin = tokio::time::Instant::now() + Duration::from_secs(1);
    let (warm, end) = (begin + PERIOD / 5, begin + PERIOD / 5 + MEASURED);
    let poll = async |user: &User| {
        while tokio::time::Instant::now() < end {
            let sync = tokio::time::timeout_at(end, user.sync_with("timeout=30000")).await;
            told.fetch_add(sync.map_or(0, |sync| list(&sync["presence"]["events"]).len()), Ordering::Relaxed);
        }
    };
    let change = async |n: usize, user: &User| {
        let mut at = begin + PERIOD * u32::try_from(n).unwrap() / u32::try_from(USERS).unwrap();
        for presence in ["unavailable", "online"].iter().cycle() {
            tokio::time::sleep_until(at.min(end)).await;
            if at >= end {
                return;
            }
            let _ = set(user, presence, None).await.ok();
            changes.fetch_add(1, Ordering::Relaxed);
            at += PERIOD;
        }
    };
    let pid = node.process().expect("a running node").pid();
    let measure = async {
        tokio::time::sleep_until(warm).await;
        let before = (cpu(pid), changes.load(Ordering::Relaxed), told.load(Ordering::Relaxed));
        tokio::time::sleep_until(end).await;
        let changed = changes.load(Ordering::Relaxed) - before.1;
        (cpu(pid) - before.0, changed, told.load(Ordering::Relaxed) - before.2)
    };
    let ((took, changed, told), ..) = tokio::join!(
        measure,
        join_all(users.iter().map(poll)),
        join_all(users.iter().enumerate().map(|(n, user)| change(n, user))),
    );
    let share = took.as_secs_f64() / MEASURED.as_secs_f64();
    println!("{changed} changes in {MEASURED:?}, told {told} times: {took:?}, {:.1} % of a core", share * 100.0);
    assert!(changed > USERS && told > changed, "{changed} changes were told {told} times");
    assert!(share < BUDGET, "{:.1} % of a core", share * 100.0);
}

/// The time that a process has spent on processors, its children apart.
fn cpu(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("a running process");
    // The second field is a name in parentheses, the 14th and 15th are hundredths of a second as user and system.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |field: usize| fields[field - 3].parse::<u64>().expect("a number");
    Duration::from_millis((ticks(14) + ticks(15)) * 10)
}
