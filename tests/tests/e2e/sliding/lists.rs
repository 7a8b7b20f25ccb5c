//! Which rooms are in a list: invitations, filters, and what is wanted.

use std::time::Duration;

use roost_tests::{
    http::seg,
    shared,
    sliding::{Phone, rooms, window},
    sync::{bodies, find, list},
    turn,
    user::{User, at},
};
use serde_json::{Value, json};

use super::{PHONE, list_of, required, timeline};

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
