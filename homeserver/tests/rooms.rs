//! Rooms against a real PostgreSQL: writing from one node, and from two that share a database.

mod common;
mod node;

use std::sync::Arc;

use roost::{
    bell::{Bell, Owner},
    config,
    rooms::{self, Author, NewRoom, Preset, WriteError},
    storage::Sym,
};
use roost_spec::room_version::RoomVersion;
use roost_tests::nats::Nats;
use ruma::OwnedRoomId;
use serde_json::value::RawValue;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use common::Bench;
use node::Node;

impl Node {
    async fn content(&self, room: &OwnedRoomId, kind: &str, key: &str) -> Option<String> {
        let room = self.rooms.find(room).await.expect("read").expect("room");
        let (kind, key) = (self.number(kind).await?, self.number(key).await?);
        let state = self.rooms.current_state(&room).await.expect("state");
        let nr = *state.get(&rooms::StateKey::new(kind, key))?;
        Some(self.rooms.event(nr).await.expect("event").content().to_owned())
    }

    async fn number(&self, text: &str) -> Option<Sym> {
        self.rooms.interner().find(text).await.expect("read")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rooms_of_every_version_are_created_joined_and_written() {
    let bench = Bench::new().await;
    let node = bench.node(Bell::alone()).await;
    let (alice, bob) = (node.user("alice").await, node.user("bob").await);
    for version in RoomVersion::ALL {
        let wish = NewRoom {
            version: Some(version.as_str().to_owned()),
            preset: Some(Preset::PublicChat),
            name: Some("a room".to_owned()),
            alias: Some(format!("v{version}")),
            ..NewRoom::default()
        };
        let room = node.create(&alice, wish).await;
        assert_eq!(node.content(&room, "m.room.name", "").await.as_deref(), Some(r#"{"name":"a room"}"#));
        assert!(matches!(node.say(&bob, &room, "1").await, Err(WriteError::Rejected(_))));
        node.join(&bob, &room).await.expect("joined");
        let said = node.say(&bob, &room, "1").await.expect("sent");
        assert_eq!(node.say(&bob, &room, "1").await.expect("known"), said);
        // A node that knows nothing reads it back and builds on it.
        let other = bench.node(Bell::alone()).await;
        assert_eq!(other.say(&bob, &room, "1").await.expect("known to the database"), said);
        let event = <&ruma::EventId>::try_from(&*said).expect("an event ID");
        other.rooms.redact(&alice, &room, event, "r", Default::default()).await.expect("redacted");
        node.log.reach(other.log.watermark()).await.expect("reached");
        let nr = node.rooms.find(&room).await.expect("read").expect("room").nr;
        let redacted = node.rooms.event_by_id(nr, &said).await.expect("read").expect("event");
        assert_eq!(redacted.content(), "{}");
        node.say(&alice, &room, "2").await.expect("sent on the other's head");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_write_one_room_and_every_acknowledged_event_is_there_once() {
    let bench = Bench::new().await;
    let nats = Nats::start().await;
    let bell = async || bell(&nats).await;
    let nodes = [bench.node(bell().await).await, bench.node(bell().await).await];
    let alice = nodes[0].user("alice").await;
    let room = nodes[0].public_room(&alice).await;
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..8 {
        let (node, room) = (nodes[n % 2].clone(), room.clone());
        tasks.spawn(async move {
            let user = node.user(&format!("user{n}")).await;
            node.join(&user, &room).await.expect("joined");
            let mut said = Vec::new();
            for i in 0..40 {
                said.push(node.say(&user, &room, &format!("{i}")).await.expect("sent"));
                if i % 10 == 0 {
                    let content = format!(r#"{{"n":{i}}}"#);
                    said.push(
                        node.rooms
                            .set_state(
                                &user,
                                &room,
                                "m.room.member",
                                user.user_id.as_str(),
                                &format!(r#"{{"displayname":"{i}","membership":"join"}}"#),
                            )
                            .await
                            .expect("state"),
                    );
                    assert!(node.rooms.set_state(&user, &room, "m.room.topic", "", &content).await.is_err());
                }
            }
            said
        });
    }
    let mut said: Vec<Arc<str>> = tasks.join_all().await.into_iter().flatten().collect();
    said.sort();
    let mut stored: Vec<String> =
        sqlx::query_scalar("select id from event where type = 17 or (type = 3 and replaces is not null)")
            .fetch_all(&bench.pool())
            .await
            .expect("events");
    stored.sort();
    assert_eq!(stored.len(), said.len());
    assert!(stored.iter().zip(&said).all(|(a, b)| **a == **b));
    // Every parent that an event names is there, and frames tell the same state on both nodes.
    let parents: i64 = sqlx::query_scalar(
        "select count(*) from event_json j, json_array_elements_text(j.json::json -> 'prev_events') as p (id)
          where not exists (select from event e where e.id = p.id)",
    )
    .fetch_one(&bench.pool())
    .await
    .expect("parents");
    assert_eq!(parents, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn memberships_follow_the_rules_of_the_room() {
    let bench = Bench::new().await;
    let node = bench.node(Bell::alone()).await;
    let (alice, bob, eve) = (node.user("alice").await, node.user("bob").await, node.user("eve").await);
    let (a, b): (Author, Author) = ((&alice).into(), (&bob).into());
    let club = node.public_room(&alice).await;
    node.join(&bob, &club).await.expect("joined");
    let rules = format!(r#"{{"join_rule":"restricted","allow":[{{"type":"m.room_membership","room_id":"{club}"}}]}}"#);
    let rules = rooms::InitialState {
        kind: "m.room.join_rules".to_owned(),
        state_key: String::new(),
        content: RawValue::from_string(rules).expect("JSON"),
    };
    let room = node.create(&alice, NewRoom { initial_state: vec![rules], ..NewRoom::default() }).await;
    node.join(&bob, &room).await.expect("admitted");
    assert!(matches!(node.join(&eve, &room).await, Err(WriteError::NotAdmitted)));

    assert!(node.rooms.ban(&b, &room, &alice.user_id, None).await.is_err());
    node.rooms.ban(&a, &room, &bob.user_id, Some("noise")).await.expect("banned");
    assert!(node.join(&bob, &room).await.is_err());
    assert!(node.rooms.kick(&a, &room, &bob.user_id, None).await.is_err(), "a kick is no unban");
    node.rooms.unban(&a, &room, &bob.user_id, None).await.expect("unbanned");
    assert!(node.rooms.unban(&a, &room, &bob.user_id, None).await.is_err());
    node.join(&bob, &room).await.expect("back again");
    assert!(!node.rooms.forget(&b, &room).await.expect("answered"));
    node.rooms.leave(&b, &room, None).await.expect("left");
    node.rooms.leave(&b, &room, None).await.expect("left already");
    assert!(node.rooms.forget(&b, &room).await.expect("forgotten"));
    assert!(node.rooms.memberships(bob.user).await.expect("read").all.iter().any(|m| m.forgotten));
}

/// One node fills a room with messages, so that its tail never rests; through the other, people come in.
/// With `hold` in `commit_v3` set to no time at all, one of them is always second until they have no attempt left.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_joins_a_busy_room_through_another_node_is_not_starved() {
    let bench = Bench::new().await;
    let nats = Nats::start().await;
    let bell = async || bell(&nats).await;
    let (busy, other) = (bench.node(bell().await).await, bench.node(bell().await).await);
    let alice = busy.user("alice").await;
    let room = busy.public_room(&alice).await;
    let done = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let mut talk = tokio::task::JoinSet::new();
    for n in 0..16 {
        let (node, alice, room, done) = (busy.clone(), alice.clone(), room.clone(), Arc::clone(&done));
        talk.spawn(async move {
            let mut said = 0;
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                node.say(&alice, &room, &format!("{n}.{said}")).await.expect("sent");
                said += 1;
            }
            said
        });
    }
    let mut longest = std::time::Duration::ZERO;
    for n in 0..JOINS {
        let user = other.user(&format!("user{n}")).await;
        let begin = std::time::Instant::now();
        other.join(&user, &room).await.unwrap_or_else(|error| panic!("join {n}: {error}"));
        longest = longest.max(begin.elapsed());
    }
    done.store(true, std::sync::atomic::Ordering::Relaxed);
    let said: usize = talk.join_all().await.into_iter().sum();
    println!("{JOINS} joins beside {said} messages; the longest took {longest:.1?}");
}

const JOINS: usize = 40;

/// A node's end of the bell.
async fn bell(nats: &Nats) -> Bell {
    let config = config::Nats { url: vec![config::Secret::new(nats.url())], ..config::Nats::default() };
    let owner = Owner { tasks: TaskTracker::new(), shutdown: CancellationToken::new() };
    Bell::open(&config, "localhost", owner).await.expect("bell")
}
