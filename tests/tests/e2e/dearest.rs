//! No request of one user holds up another's: the dearest that each writing route takes, while somebody else sends.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use roost_tests::{
    Quickstart,
    http::{seg, text},
    sync::list,
    turn,
    user::{User, at, txn},
};
use serde_json::{Map, Value, json};

/// Beyond this nothing may move what others wait, where the machine is idle.
const BAR: Duration = Duration::from_millis(250);
/// Somebody sends so often, whether the last message is answered or not.
const EVERY: Duration = Duration::from_millis(40);
/// How long is measured without any load, to know the machine.
const QUIET: Duration = Duration::from_secs(4);

/// Sends until told to stop; says how long each took.
struct Sender {
    stop: Arc<AtomicBool>,
    took: Arc<Mutex<Vec<Duration>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Sender {
    fn start(user: Arc<User>, room: String) -> Self {
        let (stop, took) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let task = tokio::spawn({
            let (stop, took) = (Arc::clone(&stop), Arc::clone(&took));
            async move {
                let mut sends = tokio::task::JoinSet::new();
                let mut clock = tokio::time::interval(EVERY);
                while !stop.load(Ordering::Relaxed) {
                    let _ = clock.tick().await;
                    let (user, room, took) = (Arc::clone(&user), room.clone(), Arc::clone(&took));
                    let _ = sends.spawn(async move {
                        let begin = Instant::now();
                        user.say(&room, "in between").await;
                        took.lock().expect("times").push(begin.elapsed());
                    });
                }
                while sends.join_next().await.is_some_and(|sent| sent.is_ok()) {}
            }
        });
        Self { stop, took, task }
    }

    /// The ninety-ninth percentile of what was waited.
    async fn stop(self) -> Duration {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.expect("the sender");
        let mut took = self.took.lock().expect("times").clone();
        assert!(took.len() > 50, "too few messages say anything: {}", took.len());
        took.sort_unstable();
        took[took.len() * 99 / 100]
    }
}

/// An object of about 1.9 MB.
fn large() -> Value {
    let numbers: Vec<u32> = (0..270_000).collect();
    json!({ "numbers": numbers })
}

fn members(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("@crowd{n}:localhost")).collect()
}

/// A room with much of everything that can be copied.
async fn full_room(user: &User) -> String {
    let room = user.create_room(json!({ "invite": members(200), "creation_content": { "type": "m.space" } })).await;
    for n in 0..60 {
        let padding = "x".repeat(30_000);
        let child = json!({ "via": ["localhost"], "padding": padding });
        let _ = user.set_state(&room, "m.space.child", &format!("!child{n}:localhost"), child).await.ok();
        let _ = user.post(&at(&room, "ban"), json!({ "user_id": format!("@enemy{n}:localhost") })).await.ok();
    }
    room
}

/// The dearest requests that are known: method, path, body.
async fn known(user: &User) -> Vec<(&'static str, String, Value)> {
    let room = full_room(user).await;
    let state = |n: usize| json!({ "type": "m.x", "state_key": n.to_string(), "content": { "x": "x".repeat(8_000) } });
    let states: Vec<Value> = (0..200).map(state).collect();
    let aliases: Vec<String> = (0..1_500).map(|n| format!("#alias{n}:localhost")).collect();
    let allow: Vec<Value> =
        (0..700).map(|n| json!({ "type": "m.room_membership", "room_id": format!("!allowed{n}:localhost") })).collect();
    let levels: Map<String, Value> = members(1_500).into_iter().map(|user| (user, json!(1))).collect();
    let mentioned =
        json!({ "body": "x".repeat(20_000), "msgtype": "m.text", "m.mentions": { "user_ids": members(1_000) } });
    vec![
        ("POST", "createRoom".to_owned(), json!({ "invite": members(20_000) })),
        ("POST", "createRoom".to_owned(), json!({ "invite": members(200), "initial_state": states })),
        ("POST", "createRoom".to_owned(), json!({ "preset": "trusted_private_chat", "invite": members(200) })),
        ("POST", at(&room, "upgrade"), json!({ "new_version": "11", "additional_creators": members(200) })),
        ("POST", at(&room, "upgrade"), json!({ "new_version": "12" })),
        ("PUT", at(&room, "state/m.room.canonical_alias/"), json!({ "alt_aliases": aliases })),
        ("PUT", at(&room, "state/m.room.join_rules/"), json!({ "join_rule": "restricted", "allow": allow })),
        ("PUT", at(&room, "state/m.room.power_levels/"), json!({ "users": levels })),
        ("PUT", at(&room, &format!("send/m.room.message/{}", txn())), mentioned),
        (
            "PUT",
            user.own("account_data/m.ignored_user_list"),
            json!({ "ignored_users": members(5_000).into_iter().map(|it| (it, json!({}))).collect::<Map<_, _>>() }),
        ),
        ("POST", user.own("filter"), json!({ "room": { "timeline": { "types": members(20_000) } } })),
    ]
}

/// Every writing route with the largest body, whatever it makes of it.
async fn listed(quickstart: &Quickstart, user: &User) -> Vec<(String, String)> {
    let room = user.public_room("target").await;
    let routes = list(&quickstart.cli().run(&["routes", "--json"]).await.json());
    let fill = |part: &str| match part {
        "{roomId}" | "{roomIdOrAlias}" => seg(&room),
        "{userId}" => seg(&user.id),
        "{txnId}" => txn(),
        part if part.starts_with('{') => "x".to_owned(),
        part => part.to_owned(),
    };
    let mut found = Vec::new();
    for route in routes {
        let (method, path) = (text(&route["method"]), text(&route["path"]));
        // What ends the session ends the test, and older names are the same handlers.
        let left_out = ["/logout", "/deactivate", "/r0/", "/sync"].iter().any(|part| path.contains(part));
        if method != "GET" && !left_out {
            found.push((method, path.split('/').map(fill).collect::<Vec<_>>().join("/")));
        }
    }
    assert!(found.len() > 60, "{} routes", found.len());
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn the_dearest_request_of_each_writing_route_holds_nobody_up() {
    let _turn = turn::alone().await;
    let quickstart = Quickstart::start().await;
    let server = quickstart.server();
    let (greedy, bob) = (server.user("greedy").await, Arc::new(server.user("bob").await));
    let room = bob.public_room("quiet").await;
    let quiet = Sender::start(Arc::clone(&bob), room.clone());
    tokio::time::sleep(QUIET).await;
    let quiet = quiet.stop().await;
    // A busy machine makes everything slower.
    let bar = BAR + 4 * quiet;
    let mut slow = Vec::new();

    for (method, path, body) in known(&greedy).await {
        let sender = Sender::start(Arc::clone(&bob), room.clone());
        for _ in 0..3 {
            let answer = server.call(method, &path, Some(&greedy.token), Some(&body)).await;
            assert!(answer.status < 500, "{}: {}", answer.asked, answer.text());
        }
        tokio::time::sleep(EVERY * 60).await;
        let p99 = sender.stop().await;
        println!("{p99:>10.1?} {method} {path}");
        slow.extend((p99 > bar).then(|| format!("{method} {path}: {p99:?}")));
    }
    let (large, sender) = (large(), Sender::start(Arc::clone(&bob), room.clone()));
    for (method, path) in listed(&quickstart, &greedy).await {
        let answer = server.call(&method, &path, Some(&greedy.token), Some(&large)).await;
        assert!(answer.status < 500, "{}: {}", answer.asked, answer.text());
    }
    let p99 = sender.stop().await;
    println!("{p99:>10.1?} 2 MB to every writing route");
    slow.extend((p99 > bar).then(|| format!("2 MB to every writing route: {p99:?}")));
    assert!(slow.is_empty(), "over {bar:?}, where a quiet server takes {quiet:?}: {slow:#?}");
}
