//! Single cases of what is seen, and of what is not.

use roost_tests::{
    Server,
    http::{seg, text},
    shared,
    sliding::Phone,
    sync::{bodies, filter, find, ids, joined, list, state, strings, timeline},
    timeline::history,
    turn,
    user::{User, at, txn},
};
use serde_json::{Value, json};

/// A room of `keeper`'s with this history visibility.
async fn room(keeper: &User, visibility: &str) -> String {
    let content = json!({ "history_visibility": visibility });
    let event = json!({ "type": "m.room.history_visibility", "state_key": "", "content": content });
    let rules = json!({ "type": "m.room.join_rules", "state_key": "", "content": { "join_rule": "knock" } });
    keeper
        .create_room(
            json!({ "preset": "private_chat", "name": "then", "topic": "secret", "initial_state": [event, rules] }),
        )
        .await
}

async fn rename(keeper: &User, room: &str, name: &str) {
    let _ = keeper.set_state(room, "m.room.name", "", json!({ "name": name })).await.ok();
}

/// The room's part under `rooms.leave`.
fn left<'a>(sync: &'a Value, room: &str) -> &'a Value {
    &sync["rooms"]["leave"][room]
}

fn timeline_of(part: &Value) -> Vec<Value> {
    list(&part["timeline"]["events"])
}

fn state_of(part: &Value) -> Vec<Value> {
    list(&part["state"]["events"])
}

fn name_of(events: &[Value]) -> Option<String> {
    find(events, "m.room.name", Some("")).map(|event| text(&event["content"]["name"]))
}

/// A room's name after an answer, by a client that knew `before`.
fn folded_name(part: &Value) -> Option<String> {
    let all: Vec<Value> = state_of(part).into_iter().chain(timeline_of(part)).collect();
    all.iter().rev().find(|event| event["type"] == "m.room.name").map(|event| text(&event["content"]["name"]))
}

fn members(events: &[Value]) -> Vec<String> {
    let mut found: Vec<String> =
        events.iter().filter(|it| it["type"] == "m.room.member").map(|it| text(&it["state_key"])).collect();
    found.sort();
    found
}

const WITH_LEFT: &str = r#"{"room":{"include_leave":true,"timeline":{"limit":20}}}"#;

async fn everything(user: &User) -> Value {
    user.start_over();
    user.sync_with(&format!("timeout=0&filter={}", seg(WITH_LEFT))).await
}

/// Bob is outside of a room in every way in which one can be without having been in it.
async fn outsiders(server: &Server, keeper: &User) -> Vec<(User, String)> {
    let mut found = Vec::new();
    for how in ["declined", "banned", "withdrawn"] {
        let (bob, room) = (server.user("bob").await, room(keeper, "shared").await);
        bob.sync().await;
        match how {
            "declined" => {
                keeper.invite(&room, &bob).await;
                bob.leave(&room).await;
            }
            "banned" => drop(keeper.moderate("ban", &room, &bob).await.ok()),
            _ => {
                let _ = bob.post(&format!("knock/{}", seg(&room)), json!({})).await.ok();
                bob.leave(&room).await;
            }
        }
        found.push((bob, room));
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn who_never_was_inside_is_told_that_they_are_out_and_nothing_else() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let keeper = server.user("keeper").await;
    for (bob, room) in outsiders(&server, &keeper).await {
        let incremental = bob.sync().await;
        for sync in [incremental, everything(&bob).await] {
            let part = left(&sync, &room);
            assert_eq!(members(&timeline_of(part)), [bob.id.as_str()], "{sync}");
            assert_eq!(timeline_of(part).len(), 1, "{sync}");
            assert_eq!(state_of(part), [] as [Value; 0], "{sync}");
        }
        bob.start_over();
        let after = bob.sync_with(&format!("timeout=0&use_state_after=true&filter={}", seg(WITH_LEFT))).await;
        assert_eq!(members(&list(&left(&after, &room)["state_after"]["events"])), [bob.id.as_str()], "{after}");
        for path in ["state", "members", "joined_members", "messages?dir=b", "initialSync"] {
            bob.get(&at(&room, path)).await.is(403, "M_FORBIDDEN");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_left_and_is_banned_later_sees_the_state_of_their_leaving() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let (keeper, bob) = (server.user("keeper").await, server.user("bob").await);
    let room = room(&keeper, "shared").await;
    keeper.invite(&room, &bob).await;
    bob.join(&room).await;
    bob.sync().await;
    let since = bob.since();
    bob.leave(&room).await;
    let between = bob.sync().await;
    rename(&keeper, &room, "now").await;
    keeper.say(&room, "behind the door").await;
    let _ = keeper.moderate("ban", &room, &bob).await.ok();

    assert!(left(&between, &room).is_object());
    let second = bob.sync().await;
    bob.rewind(since);
    let both = bob.sync().await;
    let whole = everything(&bob).await;
    for (sync, name) in [(&second, None), (&both, None), (&whole, Some("then".to_owned()))] {
        let part = left(sync, &room);
        assert_eq!(folded_name(part), name, "{sync}");
        assert!(!bodies(&timeline_of(part)).contains(&"behind the door".to_owned()), "{sync}");
        let last = timeline_of(part).pop().expect("the ban");
        assert_eq!((&last["content"]["membership"], &last["state_key"]), (&json!("ban"), &json!(bob.id)), "{sync}");
    }
    assert_eq!(bob.state(&room, "m.room.name", "").await.ok()["name"], "then");
    // The ban is no window to the state of then.
    let seen = history(&bob, &room, "b").await;
    assert_eq!(seen.last().expect("his leave")["content"]["membership"], "leave");
    let banned = text(&timeline_of(left(&whole, &room)).pop().expect("the ban")["event_id"]);
    bob.get(&at(&room, &format!("context/{}", seg(&banned)))).await.is(404, "M_NOT_FOUND");
    bob.event(&room, &banned).await.is(404, "M_NOT_FOUND");
    let at_end = bob.get(&at(&room, &format!("members?at={}", seg(&bob.since().expect("a token"))))).await.ok();
    let own = list(&at_end["chunk"]).into_iter().find(|it| it["state_key"] == bob.id.as_str()).expect("himself");
    assert_eq!(own["content"]["membership"], "leave");

    // The same by windows.
    let wish = json!({ "timeline_limit": 20, "required_state": [["*", "*"]] });
    let phone = Phone::new(&bob, json!({ "room_subscriptions": { &room: wish } }));
    let shown = phone.look().await["rooms"][&room].clone();
    assert_ne!(name_of(&list(&shown["required_state"])), Some("now".to_owned()), "{shown}");
    assert!(!bodies(&list(&shown["timeline"])).contains(&"behind the door".to_owned()), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejection_in_a_window_brings_nothing_of_the_room() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let (keeper, bob) = (server.user("keeper").await, server.user("bob").await);
    let (room, other) = (room(&keeper, "shared").await, bob.public_room("another").await);
    let list_of = |last: u32| json!({ "ranges": [[0, last]], "timeline_limit": 20, "required_state": [["*", "*"]] });
    let mut phone = Phone::new(&bob, json!({ "lists": { "all": list_of(5) } }));
    keeper.invite(&room, &bob).await;
    assert!(phone.look().await["rooms"][&room]["invite_state"].is_array());
    // Declined while the room is in no window; then it comes back into one.
    phone.ask = json!({ "lists": { "all": list_of(0) } });
    bob.say(&other, "up").await;
    phone.look().await;
    bob.leave(&room).await;
    bob.say(&other, "and up").await;
    phone.look().await;
    rename(&keeper, &room, "now").await;
    phone.ask = json!({ "lists": { "all": list_of(5) } });
    let back = phone.look().await["rooms"][&room].clone();
    assert!(back["name"].is_null(), "{back}");
    for event in list(&back["required_state"]).iter().chain(&list(&back["timeline"])) {
        assert_eq!(event["state_key"], bob.id.as_str(), "{back}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn newcomers_get_what_their_timeline_hides() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let (keeper, bob) = (server.user("keeper").await, server.user("bob").await);
    let room = room(&keeper, "joined").await;
    bob.sync().await;
    keeper.invite(&room, &bob).await;
    bob.join(&room).await;
    let incremental = bob.sync().await;
    bob.start_over();
    for sync in [incremental, bob.sync().await] {
        let part = joined(&sync, &room);
        assert_eq!(folded_name(part), Some("then".to_owned()), "{sync}");
        assert!(find(&state(&sync, &room), "m.room.topic", Some("")).is_some(), "{sync}");
        assert_eq!(find(&timeline(&sync, &room), "m.room.name", Some("")), None, "{sync}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_back_learns_what_changed_meanwhile() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let (keeper, bob) = (server.user("keeper").await, server.user("bob").await);
    let (carol, dave) = (server.user("carol").await, server.user("dave").await);
    for lazy in [false, true] {
        let room = room(&keeper, "joined").await;
        for user in [&bob, &carol, &dave] {
            keeper.invite(&room, user).await;
        }
        bob.join(&room).await;
        carol.join(&room).await;
        carol.say(&room, "here").await;
        let wish = filter(&json!({ "room": { "rooms": [room], "state": { "lazy_load_members": lazy } } }));
        let query = format!("timeout=0&filter={wish}");
        bob.start_over();
        bob.sync_with(&query).await;
        bob.leave(&room).await;
        bob.sync_with(&query).await;
        rename(&keeper, &room, "now").await;
        carol.leave(&room).await;
        dave.join(&room).await;
        keeper.invite(&room, &bob).await;
        bob.join(&room).await;
        let sync = bob.sync_with(&query).await;
        assert_eq!(folded_name(joined(&sync, &room)), Some("now".to_owned()), "{sync}");
        let told: Vec<Value> = state(&sync, &room).into_iter().chain(timeline(&sync, &room)).collect();
        for (user, membership) in [(&carol, "leave"), (&dave, "join"), (&bob, "join")] {
            let member =
                told.iter().rev().find(|it| it["type"] == "m.room.member" && it["state_key"] == user.id.as_str());
            assert_eq!(
                member.map(|it| &it["content"]["membership"]),
                Some(&json!(membership)),
                "{} in {sync}",
                user.id
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_point_before_one_came_shows_the_members_of_ones_coming() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let (keeper, bob, carol) = (server.user("keeper").await, server.user("bob").await, server.user("carol").await);
    let room = room(&keeper, "joined").await;
    keeper.sync().await;
    let before = keeper.since().expect("a token");
    keeper.invite(&room, &carol).await;
    carol.join(&room).await;
    keeper.invite(&room, &bob).await;
    bob.join(&room).await;
    let at_token = |user: &User| {
        let path = at(&room, &format!("members?at={}", seg(&before)));
        let user = user.on(&user.server);
        async move { members(&list(&user.get(&path).await.ok()["chunk"])) }
    };
    assert_eq!(at_token(&keeper).await, [keeper.id.as_str()]);
    let mut all = vec![keeper.id.clone(), bob.id.clone(), carol.id.clone()];
    all.sort();
    assert_eq!(at_token(&bob).await, all);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invitation_is_seen_in_the_history_where_the_invited_may_look() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let (keeper, bob) = (server.user("keeper").await, server.user("bob").await);
    for (visibility, expected) in
        [("invited", &["invite", "join"][..]), ("joined", &["join"]), ("shared", &["invite", "join"])]
    {
        let room = room(&keeper, visibility).await;
        keeper.invite(&room, &bob).await;
        bob.join(&room).await;
        let seen = history(&bob, &room, "b").await;
        let own = seen.iter().filter(|it| it["state_key"] == bob.id.as_str());
        let own: Vec<String> = own.map(|it| text(&it["content"]["membership"])).collect();
        assert_eq!(own, expected, "{visibility}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_that_loses_its_name_gets_heroes_and_whoever_they_are() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let (keeper, bob, carol) = (server.user("keeper").await, server.user("bob").await, server.user("carol").await);
    let wish = filter(&json!({ "room": { "timeline": { "limit": 1 }, "state": { "lazy_load_members": true } } }));
    let query = format!("timeout=0&filter={wish}");
    for how in ["emptied", "redacted", "replaced", "alias"] {
        let room = room(&keeper, "shared").await;
        keeper.invite(&room, &bob).await;
        bob.join(&room).await;
        keeper.invite(&room, &carol).await;
        carol.join(&room).await;
        let alias = format!("#{}:{}", room[1..].split(':').next().unwrap_or_default().to_lowercase(), "localhost");
        let kind = if how == "alias" { "m.room.canonical_alias" } else { "m.room.name" };
        if how == "alias" {
            rename(&keeper, &room, "").await;
            let _ = keeper.put(&format!("directory/room/{}", seg(&alias)), json!({ "room_id": room })).await.ok();
            let _ = keeper.set_state(&room, kind, "", json!({ "alias": alias })).await.ok();
        }
        bob.say(&room, "only I have spoken").await;
        bob.start_over();
        let first = bob.sync_with(&query).await;
        assert!(joined(&first, &room)["summary"]["m.heroes"].is_null(), "{how}: {first}");
        match how {
            "redacted" => {
                let all = list(&keeper.get(&at(&room, "state")).await.ok());
                keeper.redact(&room, &text(&find(&all, kind, Some("")).expect("its name")["event_id"])).await;
            }
            "replaced" => drop(keeper.set_state(&room, kind, "", json!({ "name": 5 })).await),
            _ => drop(keeper.set_state(&room, kind, "", json!({})).await.ok()),
        }
        let named = keeper.state(&room, kind, "").await.ok();
        if named["name"].is_null() && named["alias"].is_null() {
            let sync = bob.sync_with(&query).await;
            let mut heroes = strings(&joined(&sync, &room)["summary"]["m.heroes"]);
            heroes.sort();
            let mut others = vec![keeper.id.clone(), carol.id.clone()];
            others.sort();
            assert_eq!(heroes, others, "{how}: {sync}");
            let told: Vec<Value> = state(&sync, &room).into_iter().chain(timeline(&sync, &room)).collect();
            assert!(others.iter().all(|user| members(&told).contains(user)), "{how}: {sync}");
        } else {
            assert_eq!(how, "replaced", "{named}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_for_the_full_state_is_told_of_all_who_speak() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let (keeper, bob, carol) = (server.user("keeper").await, server.user("bob").await, server.user("carol").await);
    let room = room(&keeper, "shared").await;
    for user in [&bob, &carol] {
        keeper.invite(&room, user).await;
        user.join(&room).await;
    }
    let wish = filter(&json!({ "room": { "timeline": { "limit": 2 }, "state": { "lazy_load_members": true } } }));
    let query = format!("timeout=0&filter={wish}");
    for n in 0..3 {
        bob.say(&room, &n.to_string()).await;
    }
    carol.say(&room, "here").await;
    assert!(members(&state(&keeper.sync_with(&query).await, &room)).contains(&bob.id));
    bob.say(&room, "again").await;
    assert!(!members(&state(&keeper.sync_with(&query).await, &room)).contains(&bob.id), "told once");
    bob.say(&room, "and again").await;
    let full = keeper.sync_with(&format!("{query}&full_state=true")).await;
    assert!(members(&state(&full, &room)).contains(&bob.id), "{full}");
    assert!(members(&state(&full, &room)).contains(&keeper.id), "{full}");
    // What was told before that counts no more.
    for user in [&carol, &bob] {
        user.say(&room, "once more").await;
    }
    let later = keeper.sync_with(&query).await;
    assert!(members(&state(&later, &room)).contains(&carol.id), "{later}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_begins_anew_on_one_node_is_told_of_all_who_speak_by_the_other() {
    let _turn = turn::shared().await;
    let (one, two) = shared::nodes().await;
    let (keeper, bob) = (one.user("keeper").await, one.user("bob").await);
    let room = room(&keeper, "shared").await;
    keeper.invite(&room, &bob).await;
    bob.join(&room).await;
    bob.say(&room, "first").await;
    let wish = filter(&json!({ "room": { "timeline": { "limit": 1 }, "state": { "lazy_load_members": true } } }));
    let query = format!("timeout=0&filter={wish}");
    assert!(members(&state(&keeper.sync_with(&query).await, &room)).contains(&bob.id));
    keeper.say(&room, "second").await;
    keeper.start_over();
    let elsewhere = keeper.on(&two);
    let _ = elsewhere.sync_with(&query).await;
    bob.say(&room, "third").await;
    let back = elsewhere.on(&one).sync_with(&query).await;
    assert!(members(&state(&back, &room)).contains(&bob.id), "{back}");
}

#[tokio::test(flavor = "multi_thread")]
async fn context_with_lazy_members_has_all_other_state() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let (keeper, bob, carol) = (server.user("keeper").await, server.user("bob").await, server.user("carol").await);
    let room = room(&keeper, "shared").await;
    for user in [&bob, &carol] {
        keeper.invite(&room, user).await;
        user.join(&room).await;
    }
    let said = bob.say(&room, "hello").await;
    let wish = filter(&json!({ "lazy_load_members": true }));
    let path = at(&room, &format!("context/{}?limit=0&filter={wish}", seg(&said)));
    let around = list(&keeper.get(&path).await.ok()["state"]);
    assert_eq!(members(&around), [bob.id.as_str()]);
    for kind in ["m.room.create", "m.room.name", "m.room.topic", "m.room.power_levels", "m.room.join_rules"] {
        assert!(find(&around, kind, Some("")).is_some(), "{kind} is missing: {around:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_open_to_the_world_tells_strangers_who_is_in_it() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let (keeper, bob) = (server.user("keeper").await, server.user("bob").await);
    let room = room(&keeper, "world_readable").await;
    let joined = bob.get(&at(&room, "joined_members")).await.ok();
    assert_eq!(
        joined["joined"].as_object().map(|all| all.keys().cloned().collect::<Vec<_>>()),
        Some(vec![keeper.id.clone()])
    );
    let members = bob.get(&at(&room, "members")).await.ok();
    assert_eq!(ids(&list(&members["chunk"])).len(), 1);
    let _ =
        keeper.set_state(&room, "m.room.history_visibility", "", json!({ "history_visibility": "shared" })).await.ok();
    bob.get(&at(&room, "joined_members")).await.is(403, "M_FORBIDDEN");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_look_into_one_room_has_its_account_data() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let keeper = server.user("keeper").await;
    let (room, other) = (room(&keeper, "shared").await, room(&keeper, "shared").await);
    for (room, colour) in [(&room, "red"), (&other, "blue")] {
        let path = keeper.own(&format!("rooms/{}/account_data/org.example.colour", seg(room)));
        let _ = keeper.put(&path, json!({ "colour": colour, "at": txn() })).await.ok();
    }
    let look = keeper.get(&at(&room, "initialSync")).await.ok();
    let notes = list(&look["account_data"]);
    assert_eq!(notes.len(), 1, "{look}");
    assert_eq!((&notes[0]["type"], &notes[0]["content"]["colour"]), (&json!("org.example.colour"), &json!("red")));
}
