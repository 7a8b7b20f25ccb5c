//! Spaces, summaries, restricted rooms, and rooms that replace others.

use roost_tests::{
    http::{seg, text},
    scratch, shared,
    sync::{list, strings},
    turn,
    user::{User, at},
};
use serde_json::{Value, json};

async fn space(user: &User, preset: &str, name: &str) -> String {
    user.create_room(json!({ "preset": preset, "name": name, "creation_content": { "type": "m.space" } })).await
}

async fn put_child(user: &User, parent: &str, child: &str, more: Value) {
    let mut content = json!({ "via": ["localhost"] });
    content.as_object_mut().expect("an object").extend(more.as_object().cloned().expect("an object"));
    let _ = user.set_state(parent, "m.space.child", child, content).await.ok();
}

fn path(room: &str, query: &str) -> String {
    format!("/_matrix/client/v1/rooms/{}/hierarchy{query}", seg(room))
}

async fn names(user: &User, room: &str, query: &str) -> Vec<String> {
    let page = user.get(&path(room, query)).await.ok();
    list(&page["rooms"]).iter().map(|room| text(&room["name"])).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_space_is_walked_as_far_as_one_may_know_of_it() {
    let _turn = turn::shared().await;
    let (one, two) = shared::nodes().await;
    let (alice, bob) = (one.user("alice").await, two.user("bob").await);
    let root = space(&alice, "public_chat", "root").await;
    let sub = space(&alice, "private_chat", "sub").await;
    let (a, b, c) = (alice.public_room("a").await, alice.public_room("b").await, alice.public_room("c").await);
    let closed = alice.create_room(json!({ "preset": "private_chat", "name": "closed" })).await;
    put_child(&alice, &root, &a, json!({ "suggested": true })).await;
    put_child(&alice, &root, &sub, json!({})).await;
    put_child(&alice, &root, &b, json!({ "order": "first" })).await;
    put_child(&alice, &sub, &c, json!({})).await;
    put_child(&alice, &sub, &closed, json!({})).await;
    // A circle, a room that is no space, and one that nobody knows.
    put_child(&alice, &sub, &root, json!({})).await;
    put_child(&alice, &a, &closed, json!({})).await;
    put_child(&alice, &root, "!nowhere:localhost", json!({})).await;

    assert_eq!(names(&alice, &root, "").await, ["root", "b", "a", "sub", "c", "closed"]);
    assert_eq!(names(&alice, &root, "?max_depth=1").await, ["root", "b", "a", "sub"]);
    assert_eq!(names(&alice, &root, "?suggested_only=true").await, ["root", "a"]);
    let first = alice.get(&path(&root, "?limit=4&max_depth=2")).await.ok();
    let from = seg(&text(&first["next_batch"]));
    assert_eq!(names(&alice, &root, &format!("?from={from}")).await, ["c", "closed"]);
    alice.get(&path(&root, &format!("?max_depth=1&from={from}"))).await.is(400, "M_INVALID_PARAM");
    alice.get(&path(&root, "?from=nonsense")).await.is(400, "M_INVALID_PARAM");

    let card = &first["rooms"][0];
    assert_eq!((&card["room_id"], &card["room_type"]), (&json!(root), &json!("m.space")));
    assert_eq!((&card["join_rule"], &card["num_joined_members"]), (&json!("public"), &json!(1)));
    let children: Vec<String> = list(&card["children_state"]).iter().map(|child| text(&child["state_key"])).collect();
    assert_eq!(children, [&*b, &*a, &*sub, "!nowhere:localhost"]);
    let child = &card["children_state"][0];
    assert!(child["origin_server_ts"].is_i64() && child["sender"] == alice.id && child["content"]["order"] == "first");
    assert_eq!(first["rooms"][2]["children_state"], json!([]), "only spaces have children");

    // Bob sees what is open, and with an invitation what lies below.
    bob.join(&root).await;
    assert_eq!(names(&bob, &root, "").await, ["root", "b", "a"]);
    alice.invite(&sub, &bob).await;
    bob.wait_for("invitation", |sync| sync["rooms"]["invite"].get(&sub).map(|_| ())).await;
    assert_eq!(names(&bob, &root, "").await, ["root", "b", "a", "sub", "c"]);
    bob.get(&path(&closed, "")).await.is(403, "M_FORBIDDEN");
    let _ = alice.set_state(&root, "m.space.child", &sub, json!({})).await.ok();
    assert_eq!(names(&alice, &root, "").await, ["root", "b", "a"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_space_is_reached_by_its_shortest_way_and_holds_its_pages() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let alice = server.user("alice").await;
    let [root, long, sub] = [
        space(&alice, "public_chat", "root").await,
        space(&alice, "public_chat", "long").await,
        space(&alice, "public_chat", "sub").await,
    ];
    let (leaf, other, new) =
        (alice.public_room("leaf").await, alice.public_room("other").await, alice.public_room("new").await);
    // The long way to `sub` comes first.
    put_child(&alice, &root, &long, json!({ "order": "a" })).await;
    put_child(&alice, &root, &sub, json!({ "order": "b" })).await;
    put_child(&alice, &root, &other, json!({ "order": "c" })).await;
    put_child(&alice, &long, &sub, json!({})).await;
    put_child(&alice, &sub, &leaf, json!({})).await;
    assert_eq!(names(&alice, &root, "?max_depth=2").await, ["root", "long", "sub", "leaf", "other"]);
    assert_eq!(names(&alice, &root, "?max_depth=1").await, ["root", "long", "sub", "other"]);

    // What was shown goes, and something comes before it: nothing is skipped, nothing comes twice.
    let first = alice.get(&path(&root, "?limit=2")).await.ok();
    assert_eq!(list(&first["rooms"]).len(), 2);
    let _ = alice.set_state(&root, "m.space.child", &long, json!({})).await.ok();
    put_child(&alice, &root, &new, json!({ "order": "A" })).await;
    let from = seg(&text(&first["next_batch"]));
    let rest = names(&alice, &root, &format!("?limit=50&from={from}")).await;
    assert_eq!(rest, ["new", "sub", "leaf", "other"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn members_of_a_space_may_join_its_restricted_rooms_and_know_of_them_before() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let (alice, bob, eve) = (server.user("alice").await, server.user("bob").await, server.user("eve").await);
    let club = space(&alice, "public_chat", "club").await;
    let summary = |room: &str| format!("/_matrix/client/v1/room_summary/{}", seg(room));
    for rule in ["restricted", "knock_restricted"] {
        let rules = json!({ "join_rule": rule, "allow": [{ "type": "m.room_membership", "room_id": club }] });
        let room = alice
            .create_room(json!({ "name": "inside", "room_version": "10",
                                 "initial_state": [{ "type": "m.room.join_rules", "content": rules }] }))
            .await;
        put_child(&alice, &club, &room, json!({})).await;
        let known = alice.get(&summary(&room)).await.ok();
        assert_eq!((&known["join_rule"], strings(&known["allowed_room_ids"])), (&json!(rule), vec![club.clone()]));
        assert_eq!((&known["room_version"], &known["membership"]), (&json!("10"), &json!("join")));

        let knocking = rule == "knock_restricted";
        let seen = eve.get(&summary(&room)).await;
        if knocking {
            assert_eq!(seen.ok()["membership"], "leave")
        } else {
            seen.is(404, "M_NOT_FOUND")
        }
        eve.post(&at(&room, "join"), json!({})).await.is(403, "M_FORBIDDEN");
        bob.join(&club).await;
        assert_eq!(bob.get(&summary(&room)).await.ok()["name"], "inside");
        bob.join(&room).await;
        let member = bob.state(&room, "m.room.member", &bob.id).await.ok();
        assert_eq!(member["join_authorised_via_users_server"], alice.id);
        bob.leave(&club).await;
    }

    // By alias, without a token, and under the name that older clients use.
    let alias = scratch::name("summary");
    let open = alice.create_room(json!({ "preset": "public_chat", "room_alias_name": alias, "topic": "open" })).await;
    let answer = server.call("GET", &summary(&format!("#{alias}:localhost")), None, None).await.ok();
    assert_eq!((&answer["room_id"], &answer["topic"], answer.get("membership")), (&json!(open), &json!("open"), None));
    let old = format!("/_matrix/client/unstable/im.nheko.summary/rooms/{}/summary", seg(&open));
    assert_eq!(eve.get(&old).await.ok()["room_id"], open);
    let closed = alice.create_room(json!({ "preset": "private_chat" })).await;
    server.call("GET", &summary(&closed), None, None).await.is(404, "M_NOT_FOUND");
    assert!(alice.get(&summary(&closed)).await.ok().get("allowed_room_ids").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_is_replaced_with_what_it_had() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let localpart = scratch::name("moved");
    let alias = format!("#{localpart}:localhost");
    let old = alice
        .create_room(json!({ "preset": "public_chat", "visibility": "public", "name": "old", "topic": "kept",
                             "room_alias_name": localpart, "room_version": "11",
                             "power_level_content_override": { "users": { &alice.id: 100, &bob.id: 60 } } }))
        .await;
    bob.join(&old).await;
    let quiet = json!({ "actions": ["dont_notify"] });
    for user in [&alice, &bob] {
        let _ = user.put(&format!("pushrules/global/room/{}", seg(&old)), quiet.clone()).await.ok();
        let note = json!({ "tags": { "u.work": { "order": 0.5 } } });
        let _ = user.put(&user.own(&format!("rooms/{}/account_data/m.tag", seg(&old))), note).await.ok();
        let direct = json!({ "@carol:localhost": [old, "!other:localhost"], "@dora:localhost": ["!other:localhost"] });
        let _ = user.put(&user.own("account_data/m.direct"), direct).await.ok();
    }
    bob.sync().await;
    bob.post(&at(&old, "upgrade"), json!({ "new_version": "12" })).await.is(403, "M_FORBIDDEN");

    let body = json!({ "new_version": "12", "additional_creators": [bob.id] });
    let new = text(&alice.post(&at(&old, "upgrade"), body).await.ok()["replacement_room"]);
    let tombstone = alice.state(&old, "m.room.tombstone", "").await.ok();
    assert_eq!(tombstone["replacement_room"], new);
    let create = alice.state(&new, "m.room.create", "").await.ok();
    assert_eq!((&create["predecessor"]["room_id"], &create["room_version"]), (&json!(old), &json!("12")));
    assert_eq!(strings(&create["additional_creators"]), [bob.id.as_str()]);
    let levels = alice.state(&new, "m.room.power_levels", "").await.ok();
    assert_eq!(levels["users"], json!({}), "creators stand above the levels");
    for (kind, key, value) in [("m.room.name", "name", "old"), ("m.room.topic", "topic", "kept")] {
        assert_eq!(alice.state(&new, kind, "").await.ok()[key], value);
    }
    assert_eq!(alice.get(&format!("directory/room/{}", seg(&alias))).await.ok()["room_id"], new);
    assert_eq!(alice.state(&new, "m.room.canonical_alias", "").await.ok()["alias"], alias);
    assert_eq!(bob.get(&format!("directory/list/room/{}", seg(&new))).await.ok()["visibility"], "public");
    assert_eq!(bob.get(&format!("directory/list/room/{}", seg(&old))).await.ok()["visibility"], "private");

    // What people had set for the old room holds in the new one.
    bob.join(&new).await;
    for user in [&alice, &bob] {
        let rules = user.get("pushrules/").await.ok();
        let of = |room: &str| list(&rules["global"]["room"]).iter().any(|rule| rule["rule_id"] == room);
        assert!(of(&old) && of(&new), "{}: {rules}", user.id);
        let tags = user.get(&user.own(&format!("rooms/{}/tags", seg(&new)))).await.ok();
        assert_eq!(tags["tags"]["u.work"]["order"], 0.5, "{}", user.id);
        let direct = user.get(&user.own("account_data/m.direct")).await.ok();
        let moved =
            json!({ "@carol:localhost": [old, "!other:localhost", new], "@dora:localhost": ["!other:localhost"] });
        assert_eq!(direct, moved, "{}", user.id);
    }
    let news = bob.sync().await;
    let told = list(&news["account_data"]["events"]).iter().map(|it| text(&it["type"])).collect::<Vec<_>>();
    assert!(told.contains(&"m.direct".to_owned()) && told.contains(&"m.push_rules".to_owned()), "{told:?}");
}
