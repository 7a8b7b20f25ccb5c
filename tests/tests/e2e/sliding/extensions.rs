//! What is beside rooms, what is refused, and the words of the other dialect.

use std::time::{Duration, Instant};

use roost_tests::{
    http::seg,
    keys::DeviceKeys,
    shared,
    sliding::{Phone, UNSTABLE, rooms, window},
    sync::{find, list, strings},
    turn,
    user::{User, at},
};
use serde_json::{Value, json};

use super::{list_of, required, timeline, with_rooms};

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
