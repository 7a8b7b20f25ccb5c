//! Sliding sync: what a client is told of a room's state when it asks for more, when it is out, and when a name goes.

use roost_tests::{
    http::{Server, text},
    shared,
    sliding::{Phone, UNSTABLE, rooms, window},
    sync::{bodies, find, list},
    turn,
    user::{User, at},
};
use serde_json::{Value, json};

const NAMED: &[(&str, &str)] = &[("m.room.create", ""), ("m.room.name", ""), ("m.room.member", "$ME")];

fn all_of(limit: u32, state: &[(&str, &str)]) -> Value {
    json!({ "lists": { "all": window(0, 19, limit, state) } })
}

fn required(answer: &Value, room: &str) -> Vec<Value> {
    list(&answer["rooms"][room]["required_state"])
}

/// Types and state keys, sorted.
fn keys(events: &[Value]) -> Vec<(String, String)> {
    let mut keys: Vec<_> = events.iter().map(|event| (text(&event["type"]), text(&event["state_key"]))).collect();
    keys.sort();
    keys
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_for_more_state_gets_it_though_nothing_happens() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let room = alice.public_room("quiet").await;
    bob.join(&room).await;
    let _ = alice.set_state(&room, "m.room.topic", "", json!({ "topic": "hush" })).await.ok();
    let _ = alice.set_state(&room, "org.example.thing", "a", json!({ "a": 1 })).await.ok();
    for by in ["list", "subscription"] {
        let mut phone = Phone::new(&bob, all_of(1, NAMED));
        phone.ask["conn_id"] = by.into();
        phone.look().await;
        let mut wider: Vec<(&str, &str)> = NAMED.to_vec();
        wider.extend([("m.room.topic", ""), ("org.example.thing", "*"), ("m.room.member", &alice.id)]);
        match by {
            "list" => phone.ask["lists"]["all"] = window(0, 19, 1, &wider),
            _ => phone.ask["room_subscriptions"] = json!({ &room: { "timeline_limit": 1, "required_state": wider } }),
        }
        let wide = phone.look().await;
        let mut expected = [("m.room.topic", ""), ("org.example.thing", "a"), ("m.room.member", &*alice.id)]
            .map(|(kind, key)| (kind.to_owned(), key.to_owned()));
        expected.sort();
        assert_eq!(keys(&required(&wide, &room)), expected, "{by}: {wide}");
        assert!(list(&wide["rooms"][&room]["timeline"]).is_empty() && wide["rooms"][&room]["initial"].is_null());
        assert_eq!(rooms(&phone.look().await), Vec::<String>::new(), "{by}: told once");

        // Narrow, and wide again: what changed meanwhile is told, and so is the rest.
        let ask = std::mem::replace(&mut phone.ask, all_of(1, NAMED));
        phone.ask["conn_id"] = by.into();
        assert_eq!(rooms(&phone.look().await), Vec::<String>::new(), "{by}");
        let _ = alice.set_state(&room, "m.room.topic", "", json!({ "topic": by })).await.ok();
        phone.look().await;
        phone.ask = ask;
        let again = required(&phone.look().await, &room);
        assert_eq!(find(&again, "m.room.topic", Some("")).expect("the topic")["content"]["topic"], by);
    }
}

/// What Bob is shown of a room by a list that wants everything, on a new connection and in both dialects.
async fn shown(bob: &User, room: &str) -> [Value; 2] {
    let ask = all_of(20, &[("*", "*")]);
    let unstable = Phone::new(bob, ask.clone()).look().await;
    assert_eq!(unstable["lists"]["all"]["count"], 1, "{unstable}");
    let lists = json!({ "all": { "range": [0, 19], "timeline_limit": 20, "required_state": { "include": [{}] } } });
    let stable = bob.post("/_matrix/client/v4/sync", json!({ "lists": lists })).await.ok();
    [unstable["rooms"][room].clone(), stable["rooms"][room].clone()]
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_banned_sees_the_room_as_they_left_it() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    for left_first in [true, false] {
        let (alice, bob) = (server.user("alice").await, server.user("bob").await);
        let room = alice.public_room("before").await;
        bob.join(&room).await;
        alice.say(&room, "for all to hear").await;
        let phone = Phone::new(&bob, all_of(20, &[("*", "*")]));
        phone.look().await;
        if left_first {
            bob.leave(&room).await;
            phone.look().await;
            let _ = alice.set_state(&room, "m.room.name", "", json!({ "name": "after" })).await.ok();
            alice.say(&room, "behind his back").await;
        }
        let _ = alice.moderate("ban", &room, &bob).await.ok();
        alice.say(&room, "and later").await;
        let _ = alice.set_state(&room, "m.room.topic", "", json!({ "topic": "later" })).await.ok();

        // The connection that was there learns of the ban, and of nothing else that he was not there for.
        let told = phone.look().await;
        let state = required(&told, &room);
        let own = find(&state, "m.room.member", Some(&bob.id)).expect("the ban");
        assert_eq!(own["content"]["membership"], "ban", "{told}");
        assert_eq!(bodies(&list(&told["rooms"][&room]["timeline"])), Vec::<String>::new(), "{told}");
        assert!(!told.to_string().contains("after") && !told.to_string().contains("later"), "{told}");
        assert_eq!(rooms(&phone.look().await), Vec::<String>::new());

        // So do those that come later: the room is in their list.
        for told in shown(&bob, &room).await {
            let (state, timeline) = (list(&told["required_state"]), list(&told["timeline"]));
            let own = find(&state, "m.room.member", Some(&bob.id)).expect("the ban");
            assert_eq!(own["content"]["membership"], "ban", "{told}");
            assert_eq!((&told["name"], find(&state, "m.room.topic", None)), (&json!("before"), None), "{told}");
            assert_eq!(bodies(&timeline), ["for all to hear"], "{told}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_never_was_inside_sees_nothing_of_a_room_that_bans_them() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let room = alice.create_room(json!({ "preset": "private_chat", "name": "secret", "invite": [bob.id] })).await;
    let phone = Phone::new(&bob, all_of(20, &[("*", "*")]));
    assert!(phone.look().await["rooms"][&room]["invite_state"].is_array());
    let _ = alice.set_state(&room, "m.room.topic", "", json!({ "topic": "hidden" })).await.ok();
    let _ = alice.moderate("ban", &room, &bob).await.ok();
    let told = phone.look().await;
    let state = required(&told, &room);
    assert_eq!(keys(&state), [("m.room.member".to_owned(), bob.id.clone())], "{told}");
    let timeline = list(&told["rooms"][&room]["timeline"]);
    assert!(
        timeline.iter().all(|it| it["state_key"] == bob.id.as_str() && it["content"]["membership"] == "ban"),
        "{told}"
    );
    assert!(told["rooms"][&room]["name"].is_null(), "{told}");
    let later = Phone::new(&bob, all_of(20, &[("*", "*")])).look().await;
    assert_eq!((rooms(&later), &later["lists"]["all"]["count"]), (vec![], &json!(0)));
}

/// The ID of a room's state event.
async fn state_event(user: &User, room: &str, kind: &str, key: &str) -> String {
    let state = list(&user.get(&at(room, "state")).await.ok());
    text(&find(&state, kind, Some(key)).expect("a state event")["event_id"])
}

/// The IDs and names of those who stand for a room.
fn heroes(room: &Value) -> Vec<(String, Option<String>)> {
    let name = |hero: &Value| hero["displayname"].as_str().map(str::to_owned);
    list(&room["heroes"]).iter().map(|hero| (text(&hero["user_id"]), name(hero))).collect()
}

async fn names_go(writer: &Server, reader: &Server) {
    let (alice, bob) = (writer.user("alice").await, reader.user("bob").await);
    let room = alice.public_room("named").await;
    bob.join(&room).await;
    let avatar = json!({ "url": "mxc://localhost/picture" });
    let _ = alice.set_state(&room, "m.room.avatar", "", avatar).await.ok();
    let name = json!({ "membership": "join", "displayname": "Alice in the room" });
    let _ = alice.set_state(&room, "m.room.member", &alice.id, name).await.ok();
    let phone = Phone::new(&bob, all_of(1, NAMED));
    let news = |what: &'static str| {
        let phone = &phone;
        let room = room.clone();
        async move { phone.wait_for(what, |answer| Some(answer["rooms"][&room].clone()).filter(Value::is_object)).await }
    };
    let until = |found: fn(&Value) -> bool| {
        let (phone, room) = (&phone, room.clone());
        async move { phone.wait_for("what was redacted", |it| Some(it["rooms"][&room].clone()).filter(&found)).await }
    };
    let first = news("room").await;
    assert_eq!(first["name"], "named", "{first}");
    let alices = |room: &Value| heroes(room).into_iter().find(|(id, _)| *id == alice.id).and_then(|(_, name)| name);

    let _ = alice.redact(&room, &state_event(&alice, &room, "m.room.avatar", "").await).await;
    let told = until(|it| it.get("avatar").is_some_and(Value::is_null)).await;
    assert!(told.get("name").is_none() && told["heroes"].is_null(), "{told}");
    let _ = alice.redact(&room, &state_event(&alice, &room, "m.room.name", "").await).await;
    let told = until(|it| it.get("name").is_some_and(Value::is_null)).await;
    assert_eq!(alices(&told).as_deref(), Some("Alice in the room"), "{told}");
    alice.say(&room, "no news of names").await;
    let told = news("message").await;
    assert!(told.get("name").is_none() && told.get("heroes").is_none(), "{told}");
    let _ = alice.redact(&room, &state_event(&alice, &room, "m.room.member", &alice.id).await).await;
    let told = until(|it| it["heroes"].is_array()).await;
    assert_eq!((heroes(&told).len(), alices(&told)), (1, None), "{told}");
    let later = Phone::new(&bob, all_of(1, NAMED)).look().await["rooms"][&room].clone();
    assert_eq!((later.get("name"), later.get("avatar"), alices(&later)), (None, None, None), "{later}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redacted_name_goes_from_a_connection_that_is_open() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    names_go(&server, &server).await;
    let (one, two) = shared::nodes().await;
    names_go(&one, &two).await;
}

async fn a_space_loses_a_child(writer: &Server, reader: &Server) {
    let alice = writer.user("alice").await;
    let there = alice.on(reader);
    let space = alice.create_room(json!({ "creation_content": { "type": "m.space" } })).await;
    let child = alice.create_room(json!({ "name": "child" })).await;
    let link = alice.set_state(&space, "m.space.child", &child, json!({ "via": ["localhost"] })).await.ok();
    let list =
        json!({ "ranges": [[0, 9]], "timeline_limit": 0, "required_state": [], "filters": { "spaces": [space] } });
    let count = || async {
        let body = json!({ "lists": { "in": list } });
        there.post(&format!("{UNSTABLE}?timeout=0"), body).await.ok()["lists"]["in"]["count"].clone()
    };
    wait_until("child in the space", || async { count().await == 1 }).await;
    let _ = alice.redact(&space, &text(&link["event_id"])).await;
    wait_until("child gone", || async { count().await == 0 }).await;
}

/// Another node hears a moment later.
async fn wait_until<F: Future<Output = bool>>(what: &str, is: impl Fn() -> F) {
    for _ in 0..100 {
        if is().await {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("no {what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redacted_child_is_in_its_space_no_more() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    a_space_loses_a_child(&server, &server).await;
    let (one, two) = shared::nodes().await;
    a_space_loses_a_child(&one, &two).await;
}
