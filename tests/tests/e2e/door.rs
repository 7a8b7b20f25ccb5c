//! The one place through which every local event passes: what it lets in, whichever endpoint it comes from, and that what
//! is refused leaves nothing behind.

use roost_tests::{
    Cluster, Quickstart, Server,
    http::seg,
    scratch, shared,
    sync::{find, ids, list, timeline},
    turn,
    user::{User, at, txn},
};
use serde_json::{Value, json};

const VIA: &str = "join_authorised_via_users_server";

/// Puts a membership of `whom` as state.
async fn put_member(user: &User, room: &str, whom: &str, content: Value) -> roost_tests::http::Reply {
    user.set_state(room, "m.room.member", whom, content).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restricted_room_asks_for_its_conditions_at_every_door() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let (owner, member, stranger) =
        (server.user("owner").await, server.user("member").await, server.user("stranger").await);
    let club = owner.public_room("the club").await;
    member.join(&club).await;
    for version in ["8", "10", "12"] {
        let restricted =
            json!({ "join_rule": "restricted", "allow": [{ "type": "m.room_membership", "room_id": club }] });
        let room = owner
            .create_room(json!({
                "room_version": version,
                "initial_state": [{ "type": "m.room.join_rules", "content": restricted }],
            }))
            .await;
        let forged = json!({ "membership": "join", VIA: owner.id });
        put_member(&stranger, &room, &stranger.id, forged.clone()).await.is(403, "M_FORBIDDEN");
        put_member(&stranger, &room, &stranger.id, json!({ "membership": "join" })).await.is(403, "M_FORBIDDEN");
        stranger.post(&at(&room, "join"), forged.clone()).await.is(403, "M_FORBIDDEN");

        // Whoever fulfils a condition comes in here, too, and the server says by whom.
        let _ = put_member(&member, &room, &member.id, json!({ "membership": "join", VIA: "@nobody:localhost" }))
            .await
            .ok();
        let joined = owner.state(&room, "m.room.member", &member.id).await.ok();
        assert_eq!(joined[VIA], owner.id.as_str(), "version {version}");
        let renamed = json!({ "membership": "join", "displayname": "M", VIA: "@nobody:localhost" });
        let _ = put_member(&member, &room, &member.id, renamed).await.ok();
        let renamed = owner.state(&room, "m.room.member", &member.id).await.ok();
        assert_eq!((&renamed["displayname"], renamed.get(VIA)), (&json!("M"), None), "version {version}");

        owner.invite(&room, &stranger).await;
        let _ = put_member(&stranger, &room, &stranger.id, forged).await.ok();
        let joined = owner.state(&room, "m.room.member", &stranger.id).await.ok();
        assert_eq!(joined.get(VIA), None, "an invitation needs nobody's word: {joined}");
    }
}

/// Tries to invite `whom` by every way there is.
async fn invite_everywhere(inviter: &User, room: &str, whom: &str) -> Vec<roost_tests::http::Reply> {
    let content = json!({ "membership": "invite" });
    let initial = json!([{ "type": "m.room.member", "state_key": whom, "content": content }]);
    vec![
        inviter.post(&at(room, "invite"), json!({ "user_id": whom })).await,
        put_member(inviter, room, whom, content).await,
        inviter.post("createRoom", json!({ "invite": [whom] })).await,
        inviter.post("createRoom", json!({ "initial_state": initial })).await,
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_no_invitations_gets_none_by_any_door() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let room = alice.public_room("a room").await;
    let block = json!({ "default_action": "block" });
    let _ = bob.put(&bob.own("account_data/m.invite_permission_config"), block).await.ok();
    for refused in invite_everywhere(&alice, &room, &bob.id).await {
        refused.is(403, "M_INVITE_BLOCKED");
    }
    for refused in invite_everywhere(&alice, &room, "@far:away.example").await {
        refused.is(400, "M_UNKNOWN");
    }
    let sync = bob.sync().await;
    assert_eq!(sync["rooms"]["invite"].as_object().map_or(0, serde_json::Map::len), 0, "{sync}");
}

#[tokio::test(flavor = "multi_thread")]
async fn invitations_count_by_every_door() {
    let _turn = turn::alone().await;
    let quickstart =
        Quickstart::start_with(&[("ROOST_REGISTRATION__MODE", "open"), ("ROOST_RATE_LIMITS__INVITES", "4 + 1/h")])
            .await;
    let server = quickstart.server();
    let whom = |n: usize| format!("@guest{n}:localhost");
    let inviting = |n| json!({ "type": "m.room.member", "state_key": whom(n), "content": { "membership": "invite" } });

    let alice = server.register(&scratch::name("alice")).await;
    let room = alice.create_room(json!({ "invite": [whom(1), whom(2)], "initial_state": [inviting(3)] })).await;
    let _ = put_member(&alice, &room, &whom(4), json!({ "membership": "invite" })).await.ok();
    for refused in invite_everywhere(&alice, &room, &whom(5)).await {
        refused.is(429, "M_LIMIT_EXCEEDED");
    }
    // Other state goes on, and so do others.
    let _ = alice.set_state(&room, "m.room.topic", "", json!({ "topic": "still here" })).await.ok();
    let bob = server.register(&scratch::name("bob")).await;
    let _ = bob.create_room(json!({ "invite": [whom(1)] })).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_begins_with_a_bounded_number_of_things() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let alice = server.user("alice").await;
    let crowd: Vec<String> = (0..20_000).map(|n| format!("@crowd{n}:localhost")).collect();
    alice.post("createRoom", json!({ "invite": crowd })).await.is(413, "M_TOO_LARGE");
    let state: Vec<Value> =
        (0..201).map(|n| json!({ "type": "m.x", "state_key": n.to_string(), "content": {} })).collect();
    alice.post("createRoom", json!({ "initial_state": state })).await.is(413, "M_TOO_LARGE");
    let room = alice.create_room(json!({ "invite": crowd[..200], "initial_state": state[..200] })).await;
    let all = list(&alice.get(&at(&room, "state")).await.ok());
    assert_eq!(all.iter().filter(|event| event["content"]["membership"] == "invite").count(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_leaves_no_string_behind() {
    let _turn = turn::alone().await;
    let cluster = Cluster::start(1).await;
    let server = cluster.server(0);
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let room = alice.create_room(json!({ "preset": "private_chat", "invite": [bob.id] })).await;
    bob.join(&room).await;
    let strings = "SELECT count(*) FROM intern";
    let before = cluster.postgres.number(strings).await;
    for n in 0..20 {
        let (short, long) = (format!("org.example.{n}.{}", "x".repeat(200)), format!("{n}{}", "y".repeat(20_000)));
        // Too long, and nothing for somebody without power.
        for name in [&short, &long] {
            let content = json!({ "m.relates_to": { "rel_type": name, "event_id": "$x" } });
            assert!(bob.set_state(&room, name, name, content.clone()).await.status >= 400);
            assert!(bob.set_state("!nowhere:localhost", name, "", json!({})).await.status >= 400);
            assert!(bob.put(&at(&room, &format!("state/m.room.member/@{n}:localhost")), content).await.status >= 400);
            let kick = json!({ "user_id": format!("@u{n}{}:localhost", &name[..100.min(name.len())]) });
            assert!(bob.post(&at(&room, "kick"), kick.clone()).await.status >= 400);
            assert!(bob.post(&at(&room, "ban"), kick).await.status >= 400);
            let wrong = json!({ "type": "m.room.member", "state_key": alice.id, "content": { "membership": "join" } });
            let named = json!({ "type": name, "state_key": name, "content": {} });
            assert!(bob.post("createRoom", json!({ "initial_state": [named, wrong] })).await.status >= 400);
        }
        let _ = alice.send_as(&room, &long, &txn(), json!({})).await;
        // Looking for things makes none.
        let _ = bob.state(&room, &short, &short).await;
        let filter = json!({ "room": { "timeline": { "types": [short], "senders": [format!("@s{n}:localhost")] } } });
        let _ = bob.sync_with(&format!("filter={}", seg(&filter.to_string()))).await;
        let ignored = json!({ "ignored_users": { format!("@i{n}:localhost"): {} } });
        let _ = bob.put(&bob.own("account_data/m.ignored_user_list"), ignored).await.ok();
        let _ = bob.sync().await;
    }
    let grown = cluster.postgres.number(strings).await - before;
    assert_eq!(grown, 0, "{grown} strings were numbered");

    // What is allowed is numbered, and found again.
    let content = json!({ "m.relates_to": { "rel_type": "org.example.new", "event_id": "$x" } });
    let _ = alice.set_state(&room, "org.example.kind", "a key", content).await.ok();
    assert_eq!(cluster.postgres.number(strings).await - before, 3);
    let _ = bob.state(&room, "org.example.kind", "a key").await.ok();
    let own = json!([{ "type": "org.example.first", "state_key": "another key", "content": { "n": 1 } }]);
    let room = alice.create_room(json!({ "initial_state": own })).await;
    assert_eq!(alice.state(&room, "org.example.first", "another key").await.ok()["n"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_was_nobody_when_they_were_ignored_is_ignored_when_they_come() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let alice = server.user("alice").await;
    let name = scratch::name("late");
    let ignored = json!({ "ignored_users": { format!("@{name}:localhost"): {} } });
    let _ = alice.put(&alice.own("account_data/m.ignored_user_list"), ignored).await.ok();
    let _ = alice.sync().await;
    let late = server.register(&name).await;
    let room = alice.public_room("a room").await;
    late.join(&room).await;
    let said = late.say(&room, "hello").await;
    let begin = std::time::Instant::now();
    loop {
        alice.start_over();
        let seen = ids(&timeline(&alice.sync().await, &room));
        if !seen.contains(&said) {
            break;
        }
        assert!(begin.elapsed().as_secs() < 60, "an ignored user is still seen");
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    }
    let crowd: serde_json::Map<String, Value> = (0..5_001).map(|n| (format!("@c{n}:localhost"), json!({}))).collect();
    let path = alice.own("account_data/m.ignored_user_list");
    alice.put(&path, json!({ "ignored_users": crowd })).await.is(413, "M_TOO_LARGE");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redaction_without_a_target_is_shown_to_nobody() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    for version in ["1", "11"] {
        let room = alice.create_room(json!({ "preset": "public_chat", "room_version": version })).await;
        let other = alice.create_room(json!({ "preset": "public_chat", "room_version": version })).await;
        bob.join(&room).await;
        let elsewhere = alice.say(&other, "elsewhere").await;
        let here = alice.say(&room, "here").await;
        let _ = (alice.sync().await, bob.sync().await);
        let mut hidden = Vec::new();
        for target in [elsewhere.as_str(), "$unknown:localhost"] {
            hidden.push(alice.redact(&room, target).await);
            let content = json!({ "redacts": target });
            let sent = alice.send_as(&room, "m.room.redaction", &txn(), content).await.ok();
            hidden.push(roost_tests::http::text(&sent["event_id"]));
            // Without the power there is nothing to wait for.
            let path = at(&room, &format!("redact/{}/{}", seg(target), txn()));
            bob.put(&path, json!({})).await.is(404, "M_NOT_FOUND");
        }
        let shown = alice.redact(&room, &here).await;
        for user in [&alice, &bob] {
            for _ in 0..2 {
                let seen = ids(&timeline(&user.sync().await, &room));
                assert!(seen.contains(&shown), "version {version}: {seen:?}");
                assert!(hidden.iter().all(|it| !seen.contains(it)), "version {version}: {seen:?}");
                user.start_over();
            }
            for way in ["dir=b&limit=50", "dir=f&limit=50"] {
                let seen = ids(&list(&user.messages(&room, way).await["chunk"]));
                assert!(seen.contains(&shown) && hidden.iter().all(|it| !seen.contains(it)), "{way}: {seen:?}");
            }
            for event in &hidden {
                user.event(&room, event).await.is(404, "M_NOT_FOUND");
            }
        }
        let untouched = alice.event(&other, &elsewhere).await.ok();
        assert_eq!(untouched["content"]["body"], "elsewhere");
        let redacted = bob.event(&room, &here).await.ok();
        assert_eq!(redacted["unsigned"]["redacted_by"], shown.as_str());
        assert_eq!(redacted["unsigned"]["redacted_because"]["event_id"], shown.as_str());
        alice.set_state(&room, "m.room.redaction", "", json!({ "redacts": here })).await.is(400, "M_BAD_JSON");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn power_levels_under_another_key_follow_the_rules_on_power_levels() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let room = alice
        .create_room(json!({
            "preset": "public_chat",
            "power_level_content_override": { "users": { &bob.id: 50 }, "events": { "m.room.power_levels": 50 } },
        }))
        .await;
    bob.join(&room).await;
    let current = alice.state(&room, "m.room.power_levels", "").await.ok();
    let mut raised = current.clone();
    raised["users"][&bob.id] = json!(100);
    let mut lowered = current.clone();
    lowered["ban"] = json!(10);
    for key in ["", "x"] {
        bob.set_state(&room, "m.room.power_levels", key, raised.clone()).await.is(403, "M_FORBIDDEN");
        bob.set_state(&room, "m.room.power_levels", key, json!({ "ban": "10" })).await.is(403, "M_FORBIDDEN");
        let _ = bob.set_state(&room, "m.room.power_levels", key, lowered.clone()).await.ok();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn third_party_signed_is_read_at_joins() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let room = alice.public_room("a room").await;
    let good = json!({
        "sender": alice.id, "mxid": bob.id, "token": "t", "signatures": { "id.example": { "ed25519:0": "s" } },
    });
    let mut bad = vec![json!(1), json!("x"), json!([]), json!({}), json!(true)];
    for key in ["sender", "mxid", "token", "signatures"] {
        let mut without = good.clone();
        let _ = without.as_object_mut().expect("an object").remove(key);
        bad.push(without);
        for odd in [json!(1), json!(null), json!([1]), json!({ "a": 1 })] {
            let mut wrong = good.clone();
            wrong[key] = odd;
            bad.push(wrong);
        }
    }
    for path in [at(&room, "join"), format!("join/{}", seg(&room))] {
        for signed in &bad {
            let refused = bob.post(&path, json!({ "third_party_signed": signed })).await;
            assert_eq!(refused.status, 400, "{signed}: {}", refused.text());
        }
        let _ = bob.post(&path, json!({ "third_party_signed": good })).await.ok();
        bob.leave(&room).await;
        let _ = bob.post(&path, json!({ "third_party_signed": null })).await.ok();
        bob.leave(&room).await;
    }
}

/// An administrator, and somebody whom they suspended.
async fn suspended(server: &Server, quickstart: &Quickstart) -> (User, User) {
    let admin = scratch::name("admin");
    let words = ["user", "add", &admin, "--admin", "--password-stdin"];
    let _ = quickstart.cli().run_with_input(&words, "a fine password\n").await.ok();
    let answer = server.login(&admin, "a fine password", None).await.ok();
    let admin = User::from_login(server.clone(), &answer, "a fine password");
    (admin, server.user("bob").await)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_suspended_leave_and_redact_by_every_door_and_do_nothing_else() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let (admin, bob) = suspended(&server, shared::quickstart().await).await;
    let alice = server.user("alice").await;
    let rooms = [alice.public_room("one").await, alice.public_room("two").await];
    let mut said = Vec::new();
    for room in &rooms {
        bob.join(room).await;
        said.push(bob.say(room, "regretted").await);
        said.push(bob.say(room, "regretted too").await);
    }
    let suspend = format!("/_matrix/client/v1/admin/suspend/{}", seg(&bob.id));
    let _ = admin.put(&suspend, json!({ "suspended": true })).await.ok();
    let room = &rooms[0];
    let member = at(room, &format!("state/m.room.member/{}", seg(&bob.id)));
    for refused in [
        bob.send_as(room, "m.room.message", &txn(), json!({ "body": "x", "msgtype": "m.text" })).await,
        bob.set_state(room, "m.x", &bob.id, json!({})).await,
        bob.put(&member, json!({ "membership": "join", "displayname": "B" })).await,
        put_member(&bob, room, "@guest:localhost", json!({ "membership": "invite" })).await,
        bob.post(&at(room, "invite"), json!({ "user_id": "@guest:localhost" })).await,
        bob.post("createRoom", json!({})).await,
    ] {
        refused.is(403, "M_USER_SUSPENDED");
    }
    bob.redact(room, &said[0]).await;
    let _ = bob.send_as(room, "m.room.redaction", &txn(), json!({ "redacts": said[1] })).await.ok();
    for event in &said[..2] {
        assert_eq!(alice.event(room, event).await.ok()["content"], json!({}));
    }
    let _ = bob.put(&member, json!({ "membership": "leave" })).await.ok();
    bob.leave(&rooms[1]).await;
    for room in &rooms {
        let state = list(&alice.get(&at(room, "state")).await.ok());
        let left = find(&state, "m.room.member", Some(&bob.id)).expect("a membership");
        assert_eq!(left["content"]["membership"], "leave");
    }
}
