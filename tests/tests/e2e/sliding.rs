//! Sliding sync: windows over a user's rooms, in both dialects.

use std::time::{Duration, Instant};

use roost_tests::{
    http::{Server, seg, text},
    keys::DeviceKeys,
    shared,
    sliding::{Phone, UNSTABLE, rooms, window},
    sync::{bodies, find, ids, list, strings},
    turn,
    user::{User, at},
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
async fn invitations_come_and_refused_ones_go() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let phone = Phone::new(&bob, list_of(0, 19, 5));
    assert_eq!(phone.look().await["lists"]["all"]["count"], 0);

    // An invitation wakes.
    let invite = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        alice.create_room(json!({ "preset": "private_chat", "name": "come in", "invite": [bob.id] })).await
    };
    let (woken, room) = tokio::join!(phone.wait(20_000), invite);
    let invited = &woken["rooms"][&room];
    let stripped = list(&invited["invite_state"]);
    assert_eq!(find(&stripped, "m.room.name", Some("")).expect("its name")["content"]["name"], "come in");
    assert_eq!(find(&stripped, "m.room.member", Some(&bob.id)).expect("the invitation")["sender"], alice.id);
    assert!(invited["timeline"].is_null() && invited["required_state"].is_null(), "{invited}");
    assert_eq!(woken["lists"]["all"]["count"], 1);
    // What is said before somebody comes in is not theirs to hear.
    alice.say(&room, "he can't hear us").await;
    assert_eq!(rooms(&phone.look().await), Vec::<String>::new());

    // Refused on another device: this one is told, and nothing more.
    bob.leave(&room).await;
    let refused = phone.look().await["rooms"][&room].clone();
    assert!(refused["invite_state"].is_null(), "{refused}");
    let own = required(&refused);
    assert_eq!(find(&own, "m.room.member", Some(&bob.id)).expect("his leave")["content"]["membership"], "leave");
    assert!(bodies(&timeline(&refused)).is_empty(), "{refused}");
    assert_eq!(rooms(&phone.look().await), Vec::<String>::new());
    assert_eq!(Phone::new(&bob, list_of(0, 19, 5)).look().await["lists"]["all"]["count"], 0);

    // Invited again, and accepted: the room begins anew.
    alice.invite(&room, &bob).await;
    assert!(phone.look().await["rooms"][&room]["invite_state"].is_array());
    bob.join(&room).await;
    let joined = phone.look().await["rooms"][&room].clone();
    assert_eq!((&joined["initial"], &joined["joined_count"]), (&json!(true), &json!(2)));
    let own = required(&joined);
    assert_eq!(find(&own, "m.room.member", Some(&bob.id)).expect("his join")["content"]["membership"], "join");

    // Sent away: told why, and shown to devices that come later.
    let _ = alice.post(&at(&room, "kick"), json!({ "user_id": bob.id, "reason": "noise" })).await.ok();
    alice.say(&room, "behind the door").await;
    let kicked = phone.look().await["rooms"][&room].clone();
    let own = required(&kicked);
    let member = find(&own, "m.room.member", Some(&bob.id)).expect("the kick");
    assert_eq!((&member["content"]["membership"], &member["content"]["reason"]), (&json!("leave"), &json!("noise")));
    assert!(!bodies(&timeline(&kicked)).contains(&"behind the door".to_owned()), "{kicked}");
    let later = Phone::new(&bob, list_of(0, 19, 5)).look().await;
    assert_eq!((rooms(&later), &later["lists"]["all"]["count"]), (vec![room], &json!(1)));

    // Left by himself: told once, and not in a list that begins later.
    let own_room = bob.public_room("his own").await;
    phone.look().await;
    bob.leave(&own_room).await;
    let left = phone.look().await["rooms"][&own_room].clone();
    let own = required(&left);
    assert_eq!(find(&own, "m.room.member", Some(&bob.id)).expect("his leave")["content"]["membership"], "leave");
    assert_eq!(Phone::new(&bob, list_of(0, 19, 5)).look().await["lists"]["all"]["count"], 1);
    // Also where another device has forgotten it by then.
    let forgotten = bob.public_room("soon forgotten").await;
    phone.look().await;
    bob.leave(&forgotten).await;
    let _ = bob.post(&at(&forgotten, "forget"), json!({})).await.ok();
    let own = required(&phone.look().await["rooms"][&forgotten]);
    assert_eq!(find(&own, "m.room.member", Some(&bob.id)).expect("his leave")["content"]["membership"], "leave");
    assert_eq!(rooms(&phone.look().await), Vec::<String>::new());

    // A knock is shown as clients look for it.
    let rules = json!({ "type": "m.room.join_rules", "state_key": "", "content": { "join_rule": "knock" } });
    let door = alice.create_room(json!({ "name": "door", "initial_state": [rules] })).await;
    let _ = bob.post(&format!("knock/{}", seg(&door)), json!({})).await.ok();
    let knocked = list(&phone.look().await["rooms"][&door]["invite_state"]);
    assert_eq!(find(&knocked, "m.room.member", Some(&bob.id)).expect("his knock")["content"]["membership"], "knock");
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
async fn lists_hold_what_their_filters_take() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let plain = alice.public_room("plain").await;
    let encryption =
        json!({ "type": "m.room.encryption", "state_key": "", "content": { "algorithm": "m.megolm.v1.aes-sha2" } });
    let direct = alice.create_room(json!({ "is_direct": true, "initial_state": [encryption] })).await;
    let space = alice.create_room(json!({ "creation_content": { "type": "m.space" } })).await;
    let _ = alice.set_state(&space, "m.space.child", &plain, json!({ "via": ["localhost"] })).await.ok();
    let invited = bob.create_room(json!({ "invite": [alice.id] })).await;
    let _ = alice.put(&alice.own("account_data/m.direct"), json!({ &bob.id: [direct] })).await.ok();
    let tag = format!("rooms/{}/tags/m.favourite", seg(&plain));
    let _ = alice.put(&alice.own(&tag), json!({})).await.ok();
    let told = async |filters: Value| {
        let mut list = window(0, 99, 1, &[]);
        list["filters"] = filters;
        rooms(&Phone::new(&alice, json!({ "lists": { "some": list } })).look().await)
    };
    let sorted = |rooms: &[&String]| {
        let mut rooms: Vec<String> = rooms.iter().map(|room| (*room).clone()).collect();
        rooms.sort();
        rooms
    };

    for (filters, expected) in [
        (json!({}), sorted(&[&plain, &direct, &space, &invited])),
        (json!({ "is_dm": true }), sorted(&[&direct])),
        (json!({ "is_dm": false, "is_invite": false }), sorted(&[&plain, &space])),
        (json!({ "is_encrypted": true }), sorted(&[&direct])),
        (json!({ "is_invite": true }), sorted(&[&invited])),
        (json!({ "room_types": ["m.space"] }), sorted(&[&space])),
        (json!({ "room_types": [null], "is_invited": false }), sorted(&[&plain, &direct])),
        (json!({ "not_room_types": ["m.space"], "is_invited": false }), sorted(&[&plain, &direct])),
        (json!({ "spaces": [space] }), sorted(&[&plain])),
        (json!({ "tags": ["m.favourite"] }), sorted(&[&plain])),
        (json!({ "not_tags": ["m.favourite"], "is_invited": false }), sorted(&[&direct, &space])),
    ] {
        assert_eq!(told(filters.clone()).await, expected, "{filters}");
    }
    let phone = Phone::new(&alice, json!({ "lists": { "all": window(0, 99, 1, &[]) } }));
    assert_eq!(phone.look().await["rooms"][&direct]["is_dm"], true);

    // A filter's facts change while the connection goes on.
    let mut list = window(0, 99, 1, &[]);
    list["filters"] = json!({ "is_encrypted": true, "tags": ["m.favourite"] });
    let phone = Phone::new(&alice, json!({ "lists": { "some": list } }));
    assert_eq!(phone.look().await["lists"]["some"]["count"], 0);
    let _ = alice.set_state(&plain, "m.room.encryption", "", json!({ "algorithm": "m.megolm.v1.aes-sha2" })).await.ok();
    assert_eq!(rooms(&phone.wait(5_000).await), [plain.as_str()]);
    let _ = alice.delete(&alice.own(&tag), None).await.ok();
    assert_eq!(phone.look().await["lists"]["some"]["count"], 0);

    // So do spaces: their lists follow what becomes a child and what is none any more.
    let garden = alice.create_room(json!({ "creation_content": { "type": "m.space" } })).await;
    let children = |of: &[&String]| {
        let mut list = window(0, 99, 1, &[]);
        list["filters"] = json!({ "spaces": of });
        list
    };
    let lists =
        json!({ "house": children(&[&space]), "garden": children(&[&garden]), "both": children(&[&space, &garden]) });
    let phone = Phone::new(&alice, json!({ "lists": lists }));
    let counts = |answer: &Value| ["house", "garden", "both"].map(|list| answer["lists"][list]["count"].clone());
    assert_eq!(counts(&phone.look().await), [1, 0, 1]);
    let _ = alice.set_state(&garden, "m.space.child", &direct, json!({ "via": ["localhost"] })).await.ok();
    let grown = phone.wait(5_000).await;
    assert_eq!((counts(&grown), rooms(&grown)), ([1, 1, 2].map(Value::from), vec![direct.clone()]));
    let _ = alice.set_state(&space, "m.space.child", &plain, json!({})).await.ok();
    assert_eq!(counts(&phone.look().await), [0, 1, 1]);
    let stranger = json!({ "lists": { "garden": children(&[&garden]) } });
    assert_eq!(Phone::new(&bob, stranger).look().await["lists"]["garden"]["count"], 0, "a space that one is not in");
}

#[tokio::test(flavor = "multi_thread")]
async fn invitations_that_are_not_wanted_are_in_no_list() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let (alice, bob, pest) = (server.user("alice").await, server.user("bob").await, server.user("pest").await);
    let keep = async |kind: &str, content: Value| {
        let _ = alice.put(&alice.own(&format!("account_data/{kind}")), content).await.ok();
    };
    let ignore = async |users: Value| keep("m.ignored_user_list", json!({ "ignored_users": users })).await;
    let invited = async |by: &User| by.create_room(json!({ "name": "come in", "invite": [alice.id] })).await;
    alice.public_room("oldest").await;
    let old = alice.public_room("old").await;
    let (welcome, unwanted) = (invited(&bob).await, invited(&pest).await);

    // A list over the two newest rooms, one over all invitations, and a room that is looked into.
    let mut invitations = window(0, 9, 1, &[]);
    invitations["filters"] = json!({ "is_invite": true });
    let ask = json!({ "lists": { "top": window(0, 1, 1, PHONE), "invitations": invitations },
        "room_subscriptions": { &unwanted: { "timeline_limit": 1, "required_state": [] } } });
    let phone = Phone::new(&alice, ask.clone());
    let counts = |answer: &Value| ["top", "invitations"].map(|list| answer["lists"][list]["count"].clone());
    let sorted = |rooms: &[&String]| {
        let mut rooms: Vec<String> = rooms.iter().map(|room| (*room).clone()).collect();
        rooms.sort();
        rooms
    };
    let first = phone.look().await;
    assert_eq!((counts(&first), rooms(&first)), ([4, 2].map(Value::from), sorted(&[&welcome, &unwanted])));

    // Whom she ignores invites her no more: the room below moves up into the window.
    ignore(json!({ &pest.id: {} })).await;
    let without = phone.look().await;
    assert_eq!((counts(&without), rooms(&without)), ([3, 1].map(Value::from), vec![old.clone()]));
    let again = invited(&pest).await;
    let quiet = phone.wait(400).await;
    assert_eq!((counts(&quiet), rooms(&quiet)), ([3, 1].map(Value::from), vec![]));
    let other = Phone::new(&alice, ask).look().await;
    assert_eq!((counts(&other), rooms(&other)), ([3, 1].map(Value::from), sorted(&[&old, &welcome])));

    // Nobody's invitations are wanted, apart from the pest's: those come back, as new ones do.
    let lists = json!({ "allowed_users": [&pest.id], "ignored_servers": ["*"] });
    keep("org.matrix.msc4155.invite_permission_config", lists).await;
    ignore(json!({})).await;
    let turned = phone.look().await;
    assert_eq!((counts(&turned), rooms(&turned)), ([4, 2].map(Value::from), sorted(&[&again, &unwanted])));
    assert!(turned["rooms"][&unwanted]["invite_state"].is_array(), "{turned}");
    assert_eq!(turned["rooms"][&unwanted]["initial"], true);

    // What she accepts by its address is a room like all others, wanted or not.
    ignore(json!({ &pest.id: {} })).await;
    alice.join(&unwanted).await;
    let joined = phone.look().await;
    assert_eq!((counts(&joined), rooms(&joined)), ([3, 0].map(Value::from), vec![unwanted.clone()]));
    assert_eq!(joined["rooms"][&unwanted]["initial"], true);
    // An invitation that she never saw, and that is taken back, goes unseen.
    let _ = pest.moderate("kick", &again, &alice).await.ok();
    let taken = phone.look().await;
    assert_eq!((counts(&taken), rooms(&taken)), ([3, 0].map(Value::from), vec![]));
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

#[tokio::test(flavor = "multi_thread")]
async fn extensions_bring_what_is_beside_rooms() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let (alice, bob, made) = with_rooms(&server).await;
    let _ = bob.put(&bob.own("account_data/org.example.note"), json!({ "n": 1 })).await.ok();
    let tag = |room: &str| format!("rooms/{}/tags/m.favourite", seg(room));
    for room in &made {
        let _ = bob.put(&bob.own(&tag(room)), json!({})).await.ok();
    }
    let last = alice.say(&made[2], "read me").await;
    let read = async |user: &User, kind: &str, event: &str| {
        let _ = user.post(&at(&made[2], &format!("receipt/{kind}/{}", seg(event))), json!({})).await.ok();
    };
    read(&alice, "m.read", &last).await;
    read(&bob, "m.read.private", &last).await;
    alice.to_device(&bob, "org.example.one", json!({ "n": 1 })).await;
    let mut ask = list_of(0, 0, 1);
    ask["extensions"] = json!({
        "to_device": { "enabled": true }, "e2ee": { "enabled": true }, "account_data": { "enabled": true },
        "receipts": { "enabled": true }, "typing": { "enabled": true }, "org.example.unknown": { "enabled": true },
    });
    let mut phone = Phone::new(&bob, ask);

    let first = phone.look().await;
    let extensions = &first["extensions"];
    let global = list(&extensions["account_data"]["global"]);
    assert_eq!(find(&global, "org.example.note", None).expect("the note")["content"]["n"], 1);
    assert!(find(&global, "m.push_rules", None).is_some(), "{global:?}");
    let noted = extensions["account_data"]["rooms"].as_object().expect("rooms");
    assert_eq!(noted.keys().collect::<Vec<_>>(), [&made[2]], "only rooms that are told");
    let receipts = &extensions["receipts"]["rooms"][&made[2]]["content"][&last];
    assert!(receipts["m.read"][&alice.id].is_object() && receipts["m.read.private"][&bob.id].is_object(), "{receipts}");
    let messages = list(&extensions["to_device"]["events"]);
    assert_eq!((messages.len(), &messages[0]["content"]["n"]), (1, &json!(1)));
    assert!(extensions["e2ee"]["device_one_time_keys_count"].is_object(), "{extensions}");

    // Messages come again until their token does, whatever `pos` is.
    let again = phone.look().await;
    assert_eq!(list(&again["extensions"]["to_device"]["events"]).len(), 1);
    phone.ask["extensions"]["to_device"]["since"] = again["extensions"]["to_device"]["next_batch"].clone();
    assert_eq!(list(&phone.look().await["extensions"]["to_device"]["events"]), [] as [Value; 0]);
    let wake = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        alice.to_device(&bob, "org.example.two", json!({ "n": 2 })).await;
    };
    let (woken, ()) = tokio::join!(phone.wait(20_000), wake);
    assert_eq!(list(&woken["extensions"]["to_device"]["events"])[0]["content"]["n"], 2, "{woken}");
    phone.ask["extensions"]["to_device"]["since"] = woken["extensions"]["to_device"]["next_batch"].clone();

    // Who shares a room and changes keys is told of.
    let _ = alice.post("keys/upload", json!({ "device_keys": DeviceKeys::new(&alice).identity() })).await.ok();
    let changed = phone.wait(5_000).await;
    assert_eq!(strings(&changed["extensions"]["e2ee"]["device_lists"]["changed"]), [alice.id.as_str()]);

    // Typing, its end, a receipt, and what another device notes.
    let typing = at(&made[2], &format!("typing/{}", seg(&alice.id)));
    let typists = |answer: &Value| {
        let event = &answer["extensions"]["typing"]["rooms"][&made[2]];
        event.is_object().then(|| strings(&event["content"]["user_ids"]))
    };
    let _ = alice.put(&typing, json!({ "typing": true, "timeout": 20_000 })).await.ok();
    assert_eq!(phone.wait_for("typing", typists).await, [alice.id.as_str()]);
    let _ = alice.put(&typing, json!({ "typing": false })).await.ok();
    assert_eq!(phone.wait_for("the end of typing", typists).await, Vec::<String>::new());
    let mention = json!({ "msgtype": "m.text", "body": "and me", "m.mentions": { "user_ids": [bob.id] } });
    let next = alice.send(&made[2], "m.room.message", mention).await;
    let unread = phone.look().await["rooms"][&made[2]].clone();
    assert_eq!((&unread["notification_count"], &unread["highlight_count"]), (&json!(1), &json!(1)), "{unread}");
    read(&alice, "m.read", &next).await;
    phone
        .wait_for("a receipt", |answer| {
            let content = &answer["extensions"]["receipts"]["rooms"][&made[2]]["content"];
            content[&next]["m.read"][&alice.id].is_object().then_some(())
        })
        .await;
    let _ = bob.put(&bob.own("account_data/org.example.note"), json!({ "n": 2 })).await.ok();
    let noted = phone.wait(5_000).await;
    assert_eq!(list(&noted["extensions"]["account_data"]["global"])[0]["content"]["n"], 2, "{noted}");
    // His own receipt brings new counts.
    read(&bob, "m.read", &next).await;
    let counted = phone.wait(5_000).await["rooms"][&made[2]].clone();
    assert_eq!((&counted["notification_count"], timeline(&counted).len()), (&json!(0), 0), "{counted}");

    // A room that comes into the window brings its notes.
    phone.ask["lists"]["all"]["ranges"] = json!([[0, 99]]);
    let more = phone.look().await;
    let noted = more["extensions"]["account_data"]["rooms"].as_object().expect("rooms");
    assert_eq!(noted.len(), 2, "{noted:?}");

    // A connection of its own for encryption: no lists, nothing else.
    let keys = json!({ "conn_id": "encryption", "extensions": { "to_device": { "enabled": true }, "e2ee": { "enabled": true } } });
    let encryption = Phone::new(&bob, keys);
    let first = encryption.look().await;
    assert!(rooms(&first).is_empty() && first["extensions"]["account_data"].is_null(), "{first}");
    let begin = Instant::now();
    alice.say(&made[0], "this is not for that connection").await;
    encryption.wait(500).await;
    assert!(begin.elapsed() >= Duration::from_millis(450), "woken by a message that it has no list for");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_beyond_the_limits_is_refused() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let alice = server.user("alice").await;
    let room = alice.public_room("a room").await;
    let lists = |count: usize| {
        let lists: serde_json::Map<_, _> = (0..count).map(|n| (n.to_string(), window(0, 0, 1, &[]))).collect();
        json!({ "lists": lists })
    };
    let rooms: serde_json::Map<_, _> =
        (0..101).map(|n| (format!("!{n}:localhost"), json!({ "timeline_limit": 1, "required_state": [] }))).collect();
    let pairs: Vec<_> = (0..501).map(|n| (format!("org.example.{n}"), "")).collect();
    let one = |list: Value| json!({ "lists": { "all": list } });
    assert_eq!(Phone::new(&alice, lists(100)).look().await["lists"]["99"]["count"], 1);
    for (ask, code) in [
        (lists(101), "M_INVALID_PARAM"),
        (json!({ "room_subscriptions": rooms }), "M_INVALID_PARAM"),
        (json!({ "conn_id": "x".repeat(300) }), "M_INVALID_PARAM"),
        (one(json!({ "ranges": [[5, 2]], "timeline_limit": 1, "required_state": [] })), "M_INVALID_PARAM"),
        (one(json!({ "ranges": [[0, 1]], "timeline_limit": 1, "required_state": pairs })), "M_INVALID_PARAM"),
        (one(json!({ "ranges": [[0, 1]] })), "M_BAD_JSON"),
        (json!({ "extensions": { "to_device": { "enabled": true, "since": "yesterday" } } }), "M_INVALID_PARAM"),
    ] {
        Phone::new(&alice, ask).reply(0).await.is(400, code);
    }
    alice.post(&format!("{UNSTABLE}?set_presence=asleep"), json!({})).await.is(400, "M_INVALID_PARAM");
    // What names nothing of theirs is passed over; more events than there are places for are cut.
    let strange = json!({ "!nowhere:localhost": { "timeline_limit": 1, "required_state": [] } });
    assert_eq!(
        roost_tests::sliding::rooms(&Phone::new(&alice, json!({ "room_subscriptions": strange })).look().await),
        [""; 0]
    );
    let all = Phone::new(&alice, one(window(0, 9, 100_000, &[]))).look().await;
    assert!(timeline(&all["rooms"][&room]).len() > 3, "{all}");
    assert_eq!(
        alice.server.call("GET", "/_matrix/client/versions", None, None).await.ok()["unstable_features"]["org.matrix.simplified_msc3575"],
        true
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stable_dialect_says_the_same_in_its_own_words() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let (alice, bob, made) = with_rooms(&server).await;
    let invited = alice.create_room(json!({ "preset": "private_chat", "invite": [bob.id] })).await;
    let state = json!({ "include": [{ "type": "m.room.name" }, { "state_key": "$ME" }], "exclude": [{ "type": "m.room.member", "state_key": alice.id }], "lazy_members": false });
    let list = json!({ "range": [0, 1], "timeline_limit": 1, "required_state": state });
    let mut ask = json!({ "conn_id": "stable", "lists": { "top": list, "every": { "timeline_limit": 2, "required_state": { "include": [] } } } });
    let sync = async |ask: &Value| bob.post("/_matrix/client/v4/sync", ask.clone()).await;

    let first = sync(&ask).await.ok();
    assert_eq!((&first["lists"]["top"]["count"], &first["lists"]["every"]["count"]), (&json!(4), &json!(4)));
    let room = &first["rooms"][&invited];
    assert_eq!(
        (&room["membership"], strings(&room["lists"])),
        (&json!("invite"), vec!["every".to_owned(), "top".to_owned()])
    );
    assert!(room["stripped_state"].is_array() && room["invite_state"].is_null(), "{room}");
    let three = &first["rooms"][&made[2]];
    assert_eq!(
        (&three["membership"], &three["name"], three["timeline"].as_array().map(Vec::len)),
        (&json!("join"), &json!("three"), Some(2))
    );
    assert!(three["notification_count"].is_null(), "{three}");
    assert_eq!(required(three).len(), 2, "{three}");
    assert_eq!(strings(&first["rooms"][&made[0]]["lists"]), ["every"]);

    ask["pos"] = first["pos"].clone();
    ask["timeout"] = json!(300);
    let quiet = sync(&ask).await.ok();
    assert_eq!(rooms(&quiet), Vec::<String>::new());
    ask["pos"] = quiet["pos"].clone();
    bob.leave(&invited).await;
    let refused = sync(&ask).await.ok()["rooms"][&invited].clone();
    assert_eq!(
        (&refused["membership"], refused["stripped_state"].as_array().map(Vec::len)),
        (&json!("leave"), Some(1)),
        "{refused}"
    );
    ask["lists"]["top"]["range"] = json!([3, 1]);
    sync(&ask).await.is(400, "M_INVALID_PARAM");
    ask["lists"]["top"] = json!({ "timeline_limit": 1 });
    sync(&ask).await.is(400, "M_BAD_JSON");
}
