//! Sliding sync: windows over a user's rooms, in both dialects.

mod extensions;
mod lists;
mod state;

use std::time::{Duration, Instant};

use roost_tests::{
    http::{Server, seg, text},
    shared,
    sliding::{Phone, rooms, window},
    sync::{bodies, find, ids, list},
    turn,
    user::User,
};
use serde_json::{Value, json};

/// What a phone's room list asks of each room.
const PHONE: &[(&str, &str)] = &[
    ("m.room.create", ""),
    ("m.room.name", ""),
    ("m.room.encryption", ""),
    ("m.room.member", "$LAZY"),
    ("m.room.member", "$ME"),
];

fn list_of(first: u32, last: u32, limit: u32) -> Value {
    json!({ "conn_id": "room-list", "lists": { "all": window(first, last, limit, PHONE) } })
}

fn required(room: &Value) -> Vec<Value> {
    list(&room["required_state"])
}

fn timeline(room: &Value) -> Vec<Value> {
    list(&room["timeline"])
}

/// A user with three rooms, the last of them the newest.
async fn with_rooms(server: &Server) -> (User, User, Vec<String>) {
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let mut made = Vec::new();
    for name in ["one", "two", "three"] {
        let room = alice.public_room(name).await;
        bob.join(&room).await;
        alice.say(&room, &format!("first in {name}")).await;
        alice.say(&room, &format!("last in {name}")).await;
        made.push(room);
    }
    (alice, bob, made)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_opens_its_room_list_and_is_told_what_is_new() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let (alice, bob, made) = with_rooms(&server).await;
    let mut phone = Phone::new(&bob, list_of(0, 1, 1));

    // The two newest rooms, with one event each.
    let first = phone.look().await;
    assert_eq!(first["lists"]["all"]["count"], 3);
    let mut newest = made[1..].to_vec();
    newest.sort();
    assert_eq!(rooms(&first), newest);
    let three = &first["rooms"][&made[2]];
    assert_eq!(
        (&three["initial"], &three["name"], &three["joined_count"], &three["invited_count"], &three["limited"]),
        (&json!(true), &json!("three"), &json!(2), &json!(0), &json!(true)),
        "{three}"
    );
    assert_eq!((bodies(&timeline(three)), &three["num_live"]), (vec!["last in three".to_owned()], &json!(0)));
    assert_eq!((&three["notification_count"], &three["highlight_count"]), (&json!(2), &json!(0)));
    assert!(three["heroes"].is_null() && three["is_dm"].is_null() && three["invite_state"].is_null(), "{three}");
    let state = required(three);
    for (kind, key) in
        [("m.room.create", ""), ("m.room.name", ""), ("m.room.member", &*bob.id), ("m.room.member", &*alice.id)]
    {
        assert!(find(&state, kind, Some(key)).is_some(), "{kind} {key} is missing: {state:?}");
    }
    assert_eq!(state.len(), 4);
    assert!(three["bump_stamp"].as_i64() > first["rooms"][&made[1]]["bump_stamp"].as_i64());
    // From there a client reads backwards.
    let from = text(&three["prev_batch"]);
    let page = bob.messages(&made[2], &format!("dir=b&limit=1&from={}", seg(&from))).await;
    assert_eq!(bodies(&list(&page["chunk"])), ["first in three"]);

    // Nothing new: at once or after the timeout, by the same position.
    let second = phone.look().await;
    assert_eq!((rooms(&second), &second["lists"]["all"]["count"]), (vec![], &json!(3)));
    let begin = Instant::now();
    let third = phone.wait(600).await;
    assert!(begin.elapsed() >= Duration::from_millis(550) && rooms(&third).is_empty(), "{third}");

    // A message wakes; the room comes to the top, and the window holds it.
    let speak = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        (alice.say(&made[0], "wake up").await, Instant::now())
    };
    let (woken, (event, said)) = tokio::join!(phone.wait(20_000), speak);
    assert!(said.elapsed() < Duration::from_millis(1_000), "woken {:?} after", said.elapsed());
    let one = &woken["rooms"][&made[0]];
    assert_eq!((ids(&timeline(one)), &one["initial"], &one["num_live"]), (vec![event], &json!(true), &json!(1)));
    let event = alice.say(&made[0], "again").await;
    let live = phone.wait(5_000).await;
    let one = &live["rooms"][&made[0]];
    assert_eq!((ids(&timeline(one)), &one["limited"], &one["num_live"]), (vec![event], &json!(false), &json!(1)));
    assert!(one["initial"].is_null() && one["name"].is_null() && required(one).is_empty(), "{one}");

    // The window grows: only what was not told yet.
    phone.ask = list_of(0, 99, 1);
    assert_eq!(rooms(&phone.look().await), Vec::<String>::new());
    // A room is opened: more of its timeline, at once.
    phone.ask["room_subscriptions"] = json!({ &made[1]: { "timeline_limit": 20, "required_state": [["*", "*"]] } });
    let opened = phone.look().await;
    assert_eq!(rooms(&opened), [made[1].as_str()]);
    let two = &opened["rooms"][&made[1]];
    assert_eq!(bodies(&timeline(two)), ["first in two", "last in two"]);
    assert_eq!(
        (&two["unstable_expanded_timeline"], &two["num_live"], &two["limited"]),
        (&json!(true), &json!(0), &json!(false))
    );
    assert!(two["initial"].is_null());
    let more = required(two);
    assert!(
        find(&more, "m.room.power_levels", Some("")).is_some() && find(&more, "m.room.name", Some("")).is_none(),
        "{more:?}"
    );
    assert_eq!(rooms(&phone.look().await), Vec::<String>::new());

    // Many messages at once leave a gap.
    let mut said = Vec::new();
    for n in 0..4 {
        said.push(alice.say(&made[2], &n.to_string()).await);
    }
    let gap = phone.look().await;
    let three = &gap["rooms"][&made[2]];
    assert_eq!((ids(&timeline(three)), &three["limited"]), (said[3..].to_vec(), &json!(true)));
    // A new name, and none any more.
    let _ = alice.set_state(&made[2], "m.room.name", "", json!({ "name": "drei" })).await.ok();
    let renamed = phone.look().await["rooms"][&made[2]].clone();
    assert_eq!((&renamed["name"], required(&renamed).len()), (&json!("drei"), 1));
    let _ = alice.set_state(&made[2], "m.room.name", "", json!({})).await.ok();
    let unnamed = phone.look().await["rooms"][&made[2]].clone();
    assert_eq!(unnamed["name"], Value::Null);
    assert_eq!(list(&unnamed["heroes"]).iter().map(|it| text(&it["user_id"])).collect::<Vec<_>>(), [alice.id.as_str()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn members_come_as_they_are_needed() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let alice = server.user("alice").await;
    let room = alice.create_room(json!({ "preset": "public_chat" })).await;
    let mut others = Vec::new();
    for n in 0..7 {
        let other = server.user(&format!("other{n}")).await;
        other.join(&room).await;
        others.push(other);
    }
    others[0].say(&room, "hello").await;
    let members = |room: &Value| {
        let state = required(room).into_iter().filter(|it| it["type"] == "m.room.member");
        state.map(|it| text(&it["state_key"])).collect::<Vec<_>>()
    };
    let ask = json!({ "lists": { "all": window(0, 0, 1, &[("m.room.member", "$LAZY")]) } });
    let phone = Phone::new(&alice, ask);

    let first = phone.look().await["rooms"][&room].clone();
    assert_eq!(members(&first), [others[0].id.as_str()]);
    assert_eq!(first["joined_count"], 8);
    let heroes = list(&first["heroes"]);
    assert!(heroes.len() == 5 && heroes.iter().all(|it| it["user_id"] != alice.id), "{heroes:?}");
    assert!(heroes.iter().all(|it| it["displayname"].is_string()), "{heroes:?}");

    // Known members are not told again, others are.
    others[0].say(&room, "again").await;
    assert_eq!(members(&phone.look().await["rooms"][&room]), Vec::<String>::new());
    others[6].say(&room, "my first words").await;
    assert_eq!(members(&phone.look().await["rooms"][&room]), [others[6].id.as_str()]);
    // Without a gap all changes of membership are told; with one, who explains the timeline, known or not.
    others[3].leave(&room).await;
    let left = phone.look().await["rooms"][&room].clone();
    assert_eq!((members(&left), &left["joined_count"]), (vec![others[3].id.clone()], &json!(7)));
    others[4].leave(&room).await;
    for n in 0..3 {
        others[0].say(&room, &n.to_string()).await;
    }
    let gap = phone.look().await["rooms"][&room].clone();
    assert_eq!((members(&gap), &gap["limited"]), (vec![others[0].id.clone()], &json!(true)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_moves_to_another_node_and_goes_on() {
    let _turn = turn::shared().await;
    let (one, two) = shared::nodes().await;
    let (alice, bob, made) = with_rooms(&one).await;
    let elsewhere = bob.on(&two);
    let here = Phone::new(&bob, list_of(0, 99, 5));
    let there = Phone::new(&elsewhere, here.ask.clone());

    assert_eq!(here.look().await["lists"]["all"]["count"], 3);
    let mut said = Vec::new();
    let mut seen = Vec::new();
    for n in 0..6 {
        let room = &made[n % 3];
        said.push(alice.say(room, &n.to_string()).await);
        let (side, other) = if n % 2 == 0 { (&there, &here) } else { (&here, &there) };
        side.rewind(other.pos());
        let answer = side.wait(5_000).await;
        assert_eq!(rooms(&answer), [room.as_str()], "{answer}");
        assert_ne!(answer["rooms"][room]["initial"], true, "the other node knows what was told: {answer}");
        seen.extend(ids(&timeline(&answer["rooms"][room])));
        other.rewind(side.pos());
    }
    assert_eq!(seen, said);

    // An answer is lost together with its node: the other one gives it again.
    let before = here.pos();
    let new = alice.public_room("four").await;
    bob.join(&new).await;
    let event = alice.say(&new, "lost").await;
    assert_eq!(ids(&timeline(&here.wait(5_000).await["rooms"][&new])).last(), Some(&event));
    there.rewind(before.clone());
    assert_eq!(ids(&timeline(&there.wait(5_000).await["rooms"][&new])).last(), Some(&event));
    // And so does the same one, for another request too.
    here.rewind(before);
    assert_eq!(ids(&timeline(&here.wait(5_000).await["rooms"][&new])).last(), Some(&event));

    // Positions of others, of other connections, of nobody.
    let phone = Phone::new(&alice, here.ask.clone());
    for (phone, pos) in [
        (&phone, here.pos()),
        (&Phone::new(&bob, json!({ "conn_id": "another" })), here.pos()),
        (&here, Some("s1_2_3_4_5".to_owned())),
        (&there, Some("nonsense".to_owned())),
    ] {
        phone.rewind(pos);
        phone.reply(5_000).await.is(400, "M_UNKNOWN_POS");
    }
}
