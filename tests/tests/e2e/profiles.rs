//! What people say of themselves, whom they ignore, and who may invite them.

use roost_tests::{
    User,
    http::seg,
    shared,
    sync::{bodies, list, state, timeline},
    turn,
    user::at,
};
use serde_json::{Value, json};

fn profile(user: &User, field: &str) -> String {
    format!("profile/{}/{field}", seg(&user.id))
}

async fn say(user: &User, field: &str, value: Value) {
    let _ = user.put(&profile(user, field), json!({ field: value })).await.ok();
}

async fn keep(user: &User, kind: &str, content: Value) {
    let _ = user.put(&user.own(&format!("account_data/{kind}")), content).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_has_fields_of_all_kinds_and_rooms_show_the_names() {
    let _turn = turn::shared().await;
    let (here, there) = shared::nodes().await;
    let (alice, bob) = (here.user("alice").await, there.user("bob").await);
    let room = alice.public_room("faces").await;
    bob.join(&room).await;
    let _ = bob.sync().await;

    say(&alice, "m.tz", json!("Europe/Paris")).await;
    say(&alice, "org.example.pets", json!({ "cats": 2 })).await;
    say(&alice, "displayname", json!("Alice")).await;
    let whole = bob.get(&format!("profile/{}", seg(&alice.id))).await.ok();
    assert_eq!(whole, json!({ "displayname": "Alice", "m.tz": "Europe/Paris", "org.example.pets": { "cats": 2 } }));
    let unstable = format!("/_matrix/client/unstable/uk.tcpip.msc4133/{}", profile(&alice, "m.tz"));
    assert_eq!(bob.get(&unstable).await.ok(), json!({ "m.tz": "Europe/Paris" }));
    let _ = alice.delete(&profile(&alice, "m.tz"), None).await.ok();
    bob.get(&profile(&alice, "m.tz")).await.is(404, "M_NOT_FOUND");
    let long = format!("org.{}", "x".repeat(300));
    alice.put(&profile(&alice, &long), json!({ &long: 1 })).await.is(400, "M_KEY_TOO_LARGE");
    let much = json!({ "org.example.much": "x".repeat(70_000) });
    alice.put(&profile(&alice, "org.example.much"), much).await.is(400, "M_PROFILE_TOO_LARGE");
    bob.put(&profile(&alice, "displayname"), json!({ "displayname": "Eve" })).await.is(403, "M_FORBIDDEN");

    // Her rooms show the name, unless she asks that they do not.
    let shown = |sync: &Value| {
        let events = [timeline(sync, &room), state(sync, &room)].concat();
        events.into_iter().find(|it| it["state_key"] == alice.id.as_str() && it["content"]["displayname"] == "Alice")
    };
    bob.wait_for("alice's name", shown).await;
    let quietly = format!("{}?propagate=false", profile(&alice, "displayname"));
    let _ = alice.put(&quietly, json!({ "displayname": "Alicia" })).await.ok();
    assert_eq!(bob.get(&profile(&alice, "displayname")).await.ok()["displayname"], "Alicia");
    assert_eq!(alice.state(&room, "m.room.member", &alice.id).await.ok()["displayname"], "Alice");

    let capabilities = alice.get("capabilities").await.ok();
    assert_eq!(capabilities["capabilities"]["m.profile_fields"]["enabled"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_ignored_is_not_heard() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let room = alice.public_room("loud").await;
    bob.join(&room).await;
    keep(&alice, "m.ignored_user_list", json!({ "ignored_users": { &bob.id: {} } })).await;
    let _ = alice.sync().await;
    bob.say(&room, "can you hear me?").await;
    let other = bob.create_room(json!({ "invite": [&alice.id] })).await;
    let sync = alice.sync().await;
    assert!(bodies(&timeline(&sync, &room)).is_empty() && sync["rooms"]["invite"][&other].is_null(), "{sync}");

    keep(&alice, "m.ignored_user_list", json!({ "ignored_users": {} })).await;
    bob.say(&room, "and now?").await;
    let heard = |sync: &Value| bodies(&timeline(sync, &room)).contains(&"and now?".to_owned()).then_some(());
    alice.wait_for("bob's word", heard).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_invite_is_told_or_passed_over() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let (alice, bob, carol) = (server.user("alice").await, server.user("bob").await, server.user("carol").await);
    let invite = async |by: &User| {
        let room = by.create_room(json!({})).await;
        (by.post(&at(&room, "invite"), json!({ "user_id": alice.id })).await, room)
    };
    let blocked_all = json!({ "default_action": "block" });
    keep(&alice, "m.invite_permission_config", blocked_all).await;
    let (reply, room) = invite(&bob).await;
    reply.is(403, "M_INVITE_BLOCKED");
    let member = json!({ "membership": "invite" });
    bob.set_state(&room, "m.room.member", &alice.id, member).await.is(403, "M_INVITE_BLOCKED");
    bob.post("createRoom", json!({ "invite": [&alice.id] })).await.is(403, "M_INVITE_BLOCKED");
    keep(&alice, "m.invite_permission_config", json!({})).await;

    const LISTS: &str = "org.matrix.msc4155.invite_permission_config";
    keep(&alice, LISTS, json!({ "blocked_users": [&bob.id], "ignored_servers": ["local*"] })).await;
    invite(&bob).await.0.is(403, "ORG.MATRIX.MSC4155.M_INVITE_BLOCKED");
    let (reply, unseen) = invite(&carol).await;
    let _ = reply.ok();
    assert!(alice.sync().await["rooms"]["invite"].is_null(), "an invite that is passed over shows nowhere");
    alice.start_over();
    assert!(alice.sync().await["rooms"]["invite"].is_null());

    keep(&alice, LISTS, json!({ "allowed_users": [&carol.id], "blocked_servers": ["*"] })).await;
    let (reply, seen) = invite(&carol).await;
    let _ = reply.ok();
    alice.wait_for("carol's invite", |sync| sync["rooms"]["invite"][&seen].is_object().then_some(())).await;
    alice.start_over();
    assert!(alice.sync().await["rooms"]["invite"][&unseen].is_object(), "what is allowed again shows again");
}

#[tokio::test(flavor = "multi_thread")]
async fn account_data_can_be_removed() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let alice = server.user("alice").await;
    let path = alice.own("account_data/org.example.note");
    let unstable = format!("/_matrix/client/unstable/org.matrix.msc3391/{path}");
    for remove in [true, false] {
        keep(&alice, "org.example.note", json!({ "a": 1 })).await;
        let _ = alice.sync().await;
        let _ = if remove { alice.delete(&unstable, None).await.ok() } else { alice.put(&path, json!({})).await.ok() };
        alice.get(&path).await.is(404, "M_NOT_FOUND");
        let told = list(&alice.sync().await["account_data"]["events"]);
        assert!(told.iter().any(|it| it["type"] == "org.example.note" && it["content"] == json!({})), "{told:?}");
    }
    alice.start_over();
    let all = list(&alice.sync().await["account_data"]["events"]);
    assert!(!all.iter().any(|it| it["type"] == "org.example.note"), "what was removed is not told to newcomers");
}
