//! What nodes keep in memory of rooms equals what the database says: after any writes on any node, with readers in between.
//!
//! The database's word is that of a node that has just started.

use roost_tests::{
    Cluster, Server, User,
    http::{seg, text},
    seed::Seed,
    sliding::{UNSTABLE, window},
    sync::{filter, ids, joined, list},
    turn,
    user::{at, txn},
};
use serde_json::{Value, json};

struct World {
    users: Vec<User>,
    rooms: Vec<String>,
    space: String,
    /// Every event that was sent, with its room's place in `rooms`.
    events: Vec<(usize, String)>,
    done: Vec<String>,
}

impl World {
    async fn new(server: &Server) -> Self {
        let mut users = Vec::new();
        for name in ["alice", "bob", "carol"] {
            users.push(server.user(name).await);
        }
        let mut rooms = Vec::new();
        let everybody = json!({ "events_default": 0, "state_default": 0, "redact": 0, "invite": 0 });
        for name in ["one", "two", "three", "four"] {
            let request = json!({ "preset": "public_chat", "visibility": "public", "name": name,
                "power_level_content_override": everybody });
            rooms.push(users[0].create_room(request).await);
        }
        let space = json!({ "preset": "public_chat", "creation_content": { "type": "m.space" },
            "power_level_content_override": everybody });
        let space = users[0].create_room(space).await;
        for user in &users[1..] {
            for room in rooms.iter().chain([&space]) {
                user.join(room).await;
            }
        }
        Self { users, rooms, space, events: Vec::new(), done: Vec::new() }
    }

    fn picked(&self, seed: &mut Seed, room: usize) -> Option<String> {
        let of_room: Vec<&String> = self.events.iter().filter(|(at, _)| *at == room).map(|(_, id)| id).collect();
        let newest = of_room.len().saturating_sub(12);
        of_room[newest..].get(seed.below(of_room.len() - newest)).map(|id| (*id).clone())
    }

    /// One write of anybody on any node. What is refused (a redaction of what is gone, a word of who is out) is a write too.
    async fn step(&mut self, seed: &mut Seed, nodes: &[Server]) {
        let at_room = seed.below(self.rooms.len());
        let room = self.rooms[at_room].clone();
        let user = self.users[seed.below(self.users.len())].on(&nodes[seed.below(nodes.len())]);
        let whom = self.users[seed.below(self.users.len())].id.clone();
        let earlier = self.picked(seed, at_room);
        let relating = |rel_type: &str, id: &str| json!({ "rel_type": rel_type, "event_id": id });
        let put = |path: String, body: Value| (path, body);
        let words = json!({ "msgtype": "m.text", "body": format!("words {}", seed.below(1000)) });
        let message = |content: Value| put(at(&room, &format!("send/m.room.message/{}", txn())), content);
        let state =
            |kind: &str, key: &str, content: Value| put(at(&room, &format!("state/{kind}/{}", seg(key))), content);
        let (what, (path, body)) = match (seed.below(16), earlier) {
            (0, _) => ("name", state("m.room.name", "", json!({ "name": format!("n{}", seed.below(9)) }))),
            (1, _) => ("topic", state("m.room.topic", "", json!({ "topic": format!("t{}", seed.below(9)) }))),
            (2, _) => ("guests", state("m.room.guest_access", "", json!({ "guest_access": "can_join" }))),
            (3, _) if seed.below(4) == 0 => {
                ("encryption", state("m.room.encryption", "", json!({ "algorithm": "m.megolm.v1.aes-sha2" })))
            }
            (4, _) => {
                let via = if seed.below(3) == 0 { json!({}) } else { json!({ "via": ["localhost"] }) };
                ("child", put(at(&self.space, &format!("state/m.space.child/{}", seg(&room))), via))
            }
            (5, _) => {
                let path = user.own(&format!("rooms/{}/tags/m.favourite", seg(&room)));
                if seed.below(2) == 0 {
                    let _ = user.delete(&path, None).await;
                    self.done.push(format!("{} untags {at_room}", user.id));
                    return;
                }
                ("tag", put(path, json!({ "order": 0.5 })))
            }
            (6, Some(id)) => {
                let thread = [json!({}), json!({ "thread_id": "main" })][seed.below(2)].clone();
                let reply = user.post(&at(&room, &format!("receipt/m.read/{}", seg(&id))), thread).await;
                self.done.push(format!("{} reads {id} in {at_room}: {}", user.id, reply.status));
                return;
            }
            (7, _) if seed.below(2) == 0 => {
                let how = ["leave", "join"][seed.below(2)];
                let reply = user.post(&at(&room, how), json!({})).await;
                self.done.push(format!("{} {how} {at_room}: {}", user.id, reply.status));
                return;
            }
            (8, Some(id)) => ("redact", put(at(&room, &format!("redact/{}/{}", seg(&id), txn())), json!({}))),
            (9, Some(id)) => {
                let mut content = words;
                content["m.relates_to"] = relating("m.thread", &id);
                ("thread", message(content))
            }
            (10, Some(id)) => {
                let mut content = words.clone();
                content["m.relates_to"] = relating("m.replace", &id);
                content["m.new_content"] = words;
                ("edit", message(content))
            }
            (11, Some(id)) => {
                let content = json!({ "m.relates_to": { "rel_type": "m.annotation", "event_id": id, "key": "+" } });
                ("react", put(at(&room, &format!("send/m.reaction/{}", txn())), content))
            }
            (12, _) => ("mention", message(json!({ "body": "you", "m.mentions": { "user_ids": [whom] } }))),
            (13, Some(id)) => {
                let content = json!({ "m.relates_to": relating("m.reference", &id) });
                ("refer", put(at(&room, &format!("send/org.example.refers/{}", txn())), content))
            }
            _ => ("say", message(words)),
        };
        let reply = user.put(&path, body).await;
        if let Some(id) = reply.body["event_id"].as_str() {
            // Of the space's events only links are redacted, in their own room.
            let place = if what == "child" { None } else { Some(at_room) };
            self.events.extend(place.map(|place| (place, id.to_owned())));
        }
        self.done.push(format!("{} {what} in {at_room}: {} {}", user.id, reply.status, reply.body));
    }

    /// A name or a link goes by redaction.
    async fn redact_state(&self, seed: &mut Seed, nodes: &[Server]) {
        let user = self.users[0].on(&nodes[seed.below(nodes.len())]);
        let room = [&self.rooms[seed.below(self.rooms.len())], &self.space][seed.below(2)];
        let state = user.get(&at(room, "state")).await;
        let kinds = ["m.room.name", "m.room.topic", "m.room.guest_access", "m.space.child", "m.room.avatar"];
        let events = list(&state.body);
        let found: Vec<&Value> =
            events.iter().filter(|it| kinds.contains(&it["type"].as_str().unwrap_or_default())).collect();
        if let Some(event) = found.get(seed.below(found.len())) {
            // Whoever has left is refused.
            let path = format!("redact/{}/{}", seg(&text(&event["event_id"])), txn());
            let _ = user.put(&at(room, &path), json!({})).await;
        }
    }

    /// All that a user is shown on a node of what nodes keep in memory.
    async fn picture(&self, user: &User, node: &Server) -> Value {
        let user = user.on(node);
        let list_of = |filters: Value| {
            let mut list = window(0, 99, 0, &[]);
            list["filters"] = filters;
            list
        };
        let lists = json!({
            "all": list_of(json!({})),
            "encrypted": list_of(json!({ "is_encrypted": true })),
            "spaces": list_of(json!({ "room_types": ["m.space"] })),
            "inside": list_of(json!({ "spaces": [self.space] })),
            "tagged": list_of(json!({ "tags": ["m.favourite"] })),
        });
        let seen = user.post(&format!("{UNSTABLE}?timeout=0"), json!({ "conn_id": txn(), "lists": lists })).await.ok();
        let top = user
            .post(
                &format!("{UNSTABLE}?timeout=0"),
                json!({ "conn_id": txn(), "lists": { "top": window(0, 1, 0, &[]) } }),
            )
            .await
            .ok();
        let wish = json!({ "room": { "timeline": { "unread_thread_notifications": true, "limit": 0 } } });
        let sync = user.try_sync(&format!("timeout=0&filter={}", filter(&wish))).await.ok();
        let mut rooms = Vec::new();
        for room in self.rooms.iter().chain([&self.space]) {
            let told = &seen["rooms"][room];
            let part = joined(&sync, room);
            let summary = user.get(&format!("/_matrix/client/v1/room_summary/{}", seg(room))).await.body;
            rooms.push(json!({
                "bump": told["bump_stamp"], "name": told["name"], "unread": told["notification_count"],
                "loud": told["highlight_count"], "heroes": told["heroes"], "in top": top["rooms"].get(room).is_some(),
                "main": part["unread_notifications"], "threads": part["unread_thread_notifications"], "card": summary,
            }));
        }
        let mut sums = Vec::new();
        for (room, event) in self.events.iter().rev().take(25) {
            let event = user.event(&self.rooms[*room], event).await.body;
            let relations = &event["unsigned"]["m.relations"];
            let references = ids(&list(&relations["m.reference"]["chunk"]));
            let thread = &relations["m.thread"];
            sums.push(json!([
                event["event_id"],
                event["content"],
                relations["m.replace"]["event_id"],
                references,
                thread["count"],
                thread["latest_event"]["event_id"],
                thread["current_user_participated"]
            ]));
        }
        json!({ "lists": seen["lists"], "rooms": rooms, "sums": sums })
    }
}

/// Every node has heard of all that was written.
async fn settle(world: &World, nodes: &[Server]) {
    for writer in nodes {
        let last = world.users[0].on(writer).say(&world.space, "settled").await;
        for node in nodes {
            world.users[0].on(node).start_over();
            world.users[0].on(node).wait_for_event(&world.space, &last).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn memories_equal_the_database_whatever_was_written() {
    let _turn = turn::shared().await;
    let mut seed = Seed::announced("memories_equal_the_database_whatever_was_written");
    let cluster = Cluster::start(2).await;
    let nodes: Vec<Server> = (0..2).map(|n| cluster.server(n)).collect();
    let mut world = World::new(&nodes[0]).await;
    for round in 0..4 {
        for _ in 0..30 {
            world.step(&mut seed, &nodes).await;
            if seed.below(6) == 0 {
                world.redact_state(&mut seed, &nodes).await;
            }
            // Readers keep the memories warm, and read while something changes.
            if seed.below(4) == 0 {
                let (reader, node) = (&world.users[seed.below(3)], &nodes[seed.below(2)]);
                world.picture(reader, node).await;
            }
        }
        settle(&world, &nodes).await;
        let mut cold = cluster.another(&format!("cold{round}")).await;
        for user in &world.users {
            let expected = world.picture(user, &cold.server()).await;
            for (n, node) in nodes.iter().enumerate() {
                let picture = world.picture(user, node).await;
                assert_eq!(picture, expected, "{} on node {n}, round {round}, after {:#?}", user.id, world.done);
            }
        }
        cold.kill();
    }
}
