//! What one user can take, and what is asked of what they send: quotas, limits, and both names of one thing.

use roost_tests::{
    Quickstart, User,
    http::{seg, text},
    keys::DeviceKeys,
    quickstart, shared, turn,
    user::at,
};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn where_a_stable_and_an_older_name_come_the_stable_one_counts() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let alice = server.user("alice").await;

    // As Thunderbird uploads its keys.
    let mut keys = DeviceKeys::new(&alice);
    let (fallback, older) = (keys.fallback_key(), keys.fallback_key());
    let upload = json!({
        "device_keys": keys.identity(), "one_time_keys": keys.one_time_keys(3),
        "fallback_keys": fallback, "org.matrix.msc2732.fallback_keys": older,
    });
    let counts = alice.post("keys/upload", upload).await.ok();
    assert_eq!(counts["one_time_key_counts"]["signed_curve25519"], 3);
    let claim = json!({ "one_time_keys": { &alice.id: { &alice.device: "signed_curve25519" } } });
    let mut last = Value::Null;
    for _ in 0..4 {
        last = alice.post("keys/claim", claim.clone()).await.ok()["one_time_keys"][&alice.id][&alice.device].clone();
    }
    assert_eq!(last, fallback, "the fallback key of the stable name");

    // An event filter.
    let room = alice.public_room("a room").await;
    let root = alice.say(&room, "root").await;
    let relates = json!({ "rel_type": "m.thread", "event_id": root });
    let answer =
        alice.send(&room, "m.room.message", json!({ "msgtype": "m.text", "body": "x", "m.relates_to": relates })).await;
    let filter = json!({
        "types": ["m.room.message"], "not_rel_types": ["m.thread"], "org.matrix.msc3874.not_rel_types": [],
    });
    let page = alice.messages(&room, &format!("dir=b&filter={}", seg(&filter.to_string()))).await;
    let ids: Vec<&Value> = page["chunk"].as_array().expect("events").iter().map(|it| &it["event_id"]).collect();
    assert_eq!(ids, [&json!(root)], "{answer} is in a thread");

    // Sliding sync's filter, and a profile's `propagate`.
    let body = json!({ "lists": { "all": { "ranges": [[0, 9]], "timeline_limit": 1, "required_state": [],
                                           "filters": { "is_invited": false, "is_invite": true } } } });
    let path = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync";
    let list = alice.post(path, body).await.ok();
    assert_eq!(list["lists"]["all"]["count"], 1, "{list}");
    let name = format!("profile/{}/displayname?propagate=false&org.matrix.msc4069.propagate=true", seg(&alice.id));
    let _ = alice.put(&name, json!({ "displayname": "Quiet" })).await.ok();
    assert_ne!(alice.state(&room, "m.room.member", &alice.id).await.ok()["displayname"], "Quiet");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_was_lost_is_given_again() {
    let _turn = turn::shared().await;
    let (one, two) = shared::nodes().await;
    let mut ask = json!({ "username": roost_tests::scratch::name("again"), "password": "correct horse" });
    let session = one.call("POST", "register", None, Some(&ask)).await.unauthorized()["session"].clone();
    ask["auth"] = json!({ "type": "m.login.dummy", "session": session });
    let first = one.call("POST", "register", None, Some(&ask)).await.ok();
    let again = two.call("POST", "register", None, Some(&ask)).await.ok();
    assert_eq!((&first["user_id"], &first["device_id"]), (&again["user_id"], &again["device_id"]));
    let alice = User::from_login(two.clone(), &again, "correct horse");
    assert_eq!(alice.get("account/whoami").await.ok()["device_id"], first["device_id"]);
    assert_eq!(alice.get("devices").await.ok()["devices"].as_array().map(Vec::len), Some(1));
    // Not for whoever does not know the password, and not for another name.
    let mut other = ask.clone();
    other["password"] = json!("wrong");
    two.call("POST", "register", None, Some(&other)).await.is(400, "M_USER_IN_USE");
    other["username"] = json!(roost_tests::scratch::name("again"));
    assert_eq!(two.call("POST", "register", None, Some(&other)).await.status, 401);

    let device = alice.new_device().await;
    let path = format!("devices/{}", device.device);
    let session = alice.delete(&path, Some(json!({}))).await.unauthorized()["session"].clone();
    let auth = json!({
        "type": "m.login.password", "session": session, "password": "correct horse",
        "identifier": { "type": "m.id.user", "user": alice.id },
    });
    for node in [&one, &two, &one] {
        let _ = alice.on(node).delete(&path, Some(json!({ "auth": auth }))).await.ok();
    }
    // The session is good for that device alone.
    let other = alice.new_device().await;
    let reply = alice.delete(&format!("devices/{}", other.device), Some(json!({ "auth": auth }))).await;
    assert_eq!(reply.status, 401, "{}", reply.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_user_keeps_is_bounded() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let alice = server.user("alice").await;

    // Account data: until it is full; less is taken all the same, and so is another's.
    let piece = json!({ "text": "x".repeat(1_900_000) });
    let mut taken = 0;
    let refused = loop {
        let reply = alice.put(&alice.own(&format!("account_data/org.example.{taken}")), piece.clone()).await;
        if reply.status != 200 {
            break reply;
        }
        taken += 1;
        assert!(taken < 20, "no end of account data");
    };
    refused.is(413, "M_TOO_LARGE");
    let _ = alice.put(&alice.own("account_data/org.example.0"), json!({ "text": "small" })).await.ok();
    let _ = alice.put(&alice.own("account_data/org.example.more"), json!({ "text": "small" })).await.ok();

    // A push rule with twenty thousand conditions, and many rules.
    let condition = json!({ "kind": "event_match", "key": "content.body", "pattern": "x*y" });
    let rule = |n: usize| json!({ "actions": ["notify"], "conditions": vec![condition.clone(); n] });
    alice.put("pushrules/global/override/many", rule(20_000)).await.is(413, "M_TOO_LARGE");
    let _ = alice.put("pushrules/global/override/few", rule(5)).await.ok();

    // One-time keys: so many as nobody needs.
    let keys = |from: usize, count: usize| {
        let signatures = json!({ &alice.id: { "ed25519:X": "c2lnbmF0dXJl" } });
        let key = |n| (format!("signed_curve25519:K{n}"), json!({ "key": "AAAA", "signatures": signatures }));
        json!({ "one_time_keys": (from..from + count).map(key).collect::<serde_json::Map<_, _>>() })
    };
    let _ = alice.post("keys/upload", keys(0, 1000)).await.ok();
    let _ = alice.post("keys/upload", keys(1000, 1000)).await.ok();
    alice.post("keys/upload", keys(2000, 10)).await.is(413, "M_TOO_LARGE");
    let counts = alice.post("keys/upload", json!({})).await.ok();
    assert_eq!(counts["one_time_key_counts"]["signed_curve25519"], 2000);

    // A filter as large as a book.
    let names: Vec<String> = (0..5_000).map(|n| format!("@u{n}:localhost")).collect();
    let filter = json!({ "room": { "timeline": { "senders": names } } });
    alice.post(&alice.own("filter"), filter).await.is(400, "M_BAD_JSON");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_counts_its_sessions_and_comes_back_whole() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let alice = server.user("alice").await;
    let auth = json!({ "public_key": "AAAA", "signatures": {} });
    let version = json!({ "algorithm": "m.megolm_backup.v1.curve25519-aes-sha2", "auth_data": auth });
    let version = text(&alice.post("room_keys/version", version).await.ok()["version"]);
    let path = format!("room_keys/keys?version={version}");
    assert_eq!(alice.get(&path).await.ok(), json!({ "rooms": {} }));
    let session = |n: usize| json!({ "first_message_index": 1, "forwarded_count": 0, "is_verified": false, "session_data": { "ciphertext": n } });
    let mut rooms = serde_json::Map::new();
    for room in 0..3 {
        let sessions: serde_json::Map<_, _> = (0..400).map(|n| (format!("s{n:03}"), session(n))).collect();
        rooms.insert(format!("!r{room}:localhost"), json!({ "sessions": sessions }));
    }
    let whole = json!({ "rooms": rooms });
    let put = alice.put(&path, whole.clone()).await.ok();
    assert_eq!(put["count"], 1200);
    // More than is read at once.
    assert_eq!(alice.get(&path).await.ok(), whole);
    let room = seg("!r1:localhost");
    let of_room = alice.get(&format!("room_keys/keys/{room}?version={version}")).await.ok();
    assert_eq!(of_room, whole["rooms"]["!r1:localhost"]);
    let nothing = alice.get(&format!("room_keys/keys/{}?version={version}", seg("!x:localhost"))).await.ok();
    assert_eq!(nothing, json!({ "sessions": {} }));

    let gone = alice.delete(&format!("room_keys/keys/{room}/s007?version={version}"), None).await.ok();
    assert_eq!(gone["count"], 1199);
    let better = json!({ "first_message_index": 0, "forwarded_count": 0, "is_verified": true, "session_data": {} });
    let put = alice.put(&format!("room_keys/keys/{room}/s008?version={version}"), better).await.ok();
    assert_eq!(put["count"], 1199);
    assert_eq!(alice.get("room_keys/version").await.ok()["count"], 1199);
    let large = json!({
        "first_message_index": 0, "forwarded_count": 0, "is_verified": true, "session_data": { "x": "x".repeat(70_000) },
    });
    alice.put(&format!("room_keys/keys/{room}/big?version={version}"), large).await.is(413, "M_TOO_LARGE");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_key_no_condition_and_no_format_is_refused() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let alice = server.user("alice").await;
    let mut keys = DeviceKeys::new(&alice);
    for (name, value) in [
        ("algorithms", json!([1])),
        ("keys", json!({ "ed25519:X": 4 })),
        ("keys", json!({})),
        ("signatures", json!({ &alice.id: "x" })),
        ("signatures", json!(null)),
    ] {
        let mut identity = keys.identity();
        identity[name] = value;
        alice.post("keys/upload", json!({ "device_keys": identity })).await.is(400, "M_BAD_JSON");
    }
    let (id, good) = keys.one_time_keys(1).as_object().and_then(|it| it.clone().into_iter().next()).expect("a key");
    for kind in ["one_time_keys", "fallback_keys"] {
        for (name, value) in
            [("key", json!(4)), ("key", json!(null)), ("signatures", json!([])), ("signatures", json!(null))]
        {
            let mut key = good.clone();
            key[name] = value;
            alice.post("keys/upload", json!({ kind: { &id: key } })).await.is(400, "M_BAD_JSON");
        }
    }
    for condition in [
        json!({ "kind": "event_match", "key": "content.body" }),
        json!({ "kind": "event_match", "key": 1, "pattern": "x" }),
        json!({ "kind": "room_member_count", "is": "many" }),
        json!({ "kind": "event_property_is", "key": "a", "value": {} }),
        json!({ "kind": 4 }),
    ] {
        let rule = json!({ "actions": ["notify"], "conditions": [condition] });
        alice.put("pushrules/global/override/x", rule).await.is(400, "M_BAD_JSON");
    }
    for action in
        [json!({ "set_tweak": "sound", "value": 1 }), json!({ "set_tweak": "highlight", "value": "x" }), json!(1)]
    {
        alice.put("pushrules/global/override/x", json!({ "actions": [action] })).await.is(400, "M_BAD_JSON");
        alice
            .put("pushrules/global/override/.m.rule.master/actions", json!({ "actions": [action] }))
            .await
            .is(400, "M_BAD_JSON");
    }
    let pusher = json!({
        "kind": "http", "app_id": "x", "pushkey": "x", "app_display_name": "x", "device_display_name": "x", "lang": "en",
        "data": { "url": "https://example.org/_matrix/push/v1/notify", "format": 1 },
    });
    alice.post("pushers/set", pusher).await.is(400, "M_BAD_JSON");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_has_one_bucket_and_a_try_costs_before_it_is_judged() {
    let _turn = turn::shared().await;
    let quickstart = quickstart::Quickstart::start_with(&[
        ("ROOST_REGISTRATION__MODE", "open"),
        ("ROOST_RATE_LIMITS__WRONG_PASSWORD", "4 + 1/h"),
        ("ROOST_RATE_LIMITS__LOGIN", "off"),
        ("ROOST_RATE_LIMITS__OPEN_DIRECTORY", "2 + 1/h"),
        ("ROOST_RATE_LIMITS__CHANGES", "60 + 1/h"),
    ])
    .await;
    limited(&quickstart).await;
}

async fn limited(quickstart: &Quickstart) {
    let server = quickstart.server();
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    // Right ones cost nothing.
    for _ in 0..6 {
        alice.new_device().await;
    }
    // Another's password is never tried: neither a wrong one nor the right one says which it is.
    let proof = |user: &User, password: &str, session: &Value| {
        json!({ "auth": { "type": "m.login.password", "session": session, "password": password,
                          "identifier": { "type": "m.id.user", "user": user.id } } })
    };
    let path = format!("devices/{}", alice.device);
    let session = alice.delete(&path, Some(json!({}))).await.unauthorized()["session"].clone();
    let right = alice.delete(&path, Some(proof(&bob, &bob.password, &session))).await;
    let wrong = alice.delete(&path, Some(proof(&bob, "wrong", &session))).await;
    assert_eq!((right.status, &right.body), (wrong.status, &wrong.body));
    right.is(403, "M_FORBIDDEN");

    // Twenty at once, under every way to write her name, are four tries.
    let upper = alice.localpart().to_uppercase();
    let names = [alice.id.clone(), alice.localpart().to_owned(), upper.clone(), format!("@{upper}:localhost")];
    let tries = (0..20).map(|n| server.login(&names[n % names.len()], "wrong", None));
    let statuses: Vec<u16> = futures::future::join_all(tries).await.iter().map(|reply| reply.status).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 403).count(), 4, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 429).count(), 16, "{statuses:?}");
    let reply = alice.delete(&path, Some(proof(&alice, &alice.password, &session))).await;
    assert_eq!(reply.status, 429, "interactive authentication takes from the same bucket: {}", reply.text());

    // HEAD and GET are one.
    let head = async || server.try_call("HEAD", "publicRooms", None, None).await.expect("an answer").status;
    assert_eq!((head().await, head().await, head().await), (200, 200, 429));
    assert_eq!(server.call("GET", "publicRooms", None, None).await.status, 429);

    // Whatever changes something has a limit.
    let room = bob.public_room("a room").await;
    let typing = at(&room, &format!("typing/{}", seg(&bob.id)));
    let mut last = 0;
    for _ in 0..80 {
        last = bob.put(&typing, json!({ "typing": true, "timeout": 1000 })).await.status;
    }
    assert_eq!(last, 429);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_nothing_is_told_to_nobody() {
    let _turn = turn::shared().await;
    let (one, two) = shared::nodes().await;
    let (alice, bob) = (one.user("alice").await, two.user("bob").await);
    let room = alice.public_room("a room").await;
    bob.join(&room).await;
    bob.sync().await;
    let keys = DeviceKeys::new(&alice);
    let identity = json!({ "device_keys": keys.identity() });
    let _ = alice.post("keys/upload", identity.clone()).await.ok();
    let name = json!({ "display_name": "a phone" });
    let path = format!("devices/{}", alice.device);
    let _ = alice.put(&path, name.clone()).await.ok();
    bob.wait_for("her keys", |sync| (!sync["device_lists"]["changed"].as_array()?.is_empty()).then_some(())).await;
    bob.sync().await;
    for _ in 0..3 {
        let _ = alice.post("keys/upload", identity.clone()).await.ok();
        let _ = alice.put(&path, name.clone()).await.ok();
    }
    let lists = bob.sync().await["device_lists"].clone();
    assert!(lists["changed"].as_array().is_none_or(Vec::is_empty), "{lists}");

    // Twenty names in a row are told a few times, and the last one counts.
    let renamed = (0..20).map(|n| alice.put(&path, json!({ "display_name": format!("name {n}") })));
    for reply in futures::future::join_all(renamed).await {
        let _ = reply.ok();
    }
    let ask = json!({ "device_keys": { &alice.id: [] } });
    let seen = bob.post("keys/query", ask).await.ok()["device_keys"][&alice.id][&alice.device].clone();
    assert!(text(&seen["unsigned"]["device_display_name"]).starts_with("name "), "{seen}");
    // A device without a name has its `unsigned`, too.
    let nameless = two.user("nameless").await;
    let _ = nameless.post("keys/upload", json!({ "device_keys": DeviceKeys::new(&nameless).identity() })).await.ok();
    let ask = json!({ "device_keys": { &nameless.id: [] } });
    let seen = bob.post("keys/query", ask).await.ok()["device_keys"][&nameless.id][&nameless.device].clone();
    assert_eq!(seen["unsigned"], json!({}));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_opens_media_at_the_older_endpoints_too() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let alice = server.user("alice").await;
    let bytes = Some(("text/plain", b"for those who have an account".to_vec()));
    let made =
        server.try_bytes("POST", "/_matrix/media/v3/upload", Some(&alice.token), bytes).await.expect("an answer").ok();
    let medium = text(&made["content_uri"]).replace("mxc://", "");
    for older in ["v3", "r0", "v1"] {
        let path = format!("/_matrix/media/{older}/download/{medium}");
        assert_eq!(server.call("GET", &path, Some(&alice.token), None).await.status, 200);
        let by_query = format!("{path}?access_token={}", alice.token);
        assert_eq!(server.call("GET", &by_query, None, None).await.status, 200);
        for token in [None, Some("roost_at_wrong")] {
            server.call("GET", &path, token, None).await.is(404, "M_NOT_FOUND");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_joins_later_sees_nothing_of_what_an_erased_user_said() {
    let _turn = turn::shared().await;
    let (one, two) = shared::nodes().await;
    let (alice, bob, carol) = (one.user("alice").await, one.user("bob").await, two.user("carol").await);
    let room = alice.public_room("a room").await;
    bob.join(&room).await;
    let secret = alice.say(&room, "a secret").await;
    let answered = bob.say(&room, "an answer").await;
    let _ = alice.put(&alice.own("account_data/org.example.diary"), json!({ "text": "dear diary" })).await.ok();
    let _ = alice.with_password("POST", "account/deactivate", json!({ "erase": true })).await.ok();
    carol.join(&room).await;

    let shown = async |user: &User, event: &str| user.event(&room, event).await.ok()["content"]["body"].clone();
    for node in [&one, &two] {
        assert_eq!(shown(&carol.on(node), &secret).await, Value::Null);
        assert_eq!(shown(&carol.on(node), &answered).await, "an answer");
        assert_eq!(shown(&bob.on(node), &secret).await, "a secret", "who was there saw it");
        let page = carol.on(node).messages(&room, "dir=b&limit=100").await;
        assert!(!page.to_string().contains("a secret") && page.to_string().contains("an answer"));
        assert!(bob.on(node).messages(&room, "dir=b&limit=100").await.to_string().contains("a secret"));
    }
    let sync = carol.sync().await;
    assert!(!sync.to_string().contains("a secret"), "{sync}");
    let ask = json!({ "search_categories": { "room_events": { "search_term": "secret" } } });
    let found = async |user: &User| {
        let found = user.post("search", ask.clone()).await.ok()["search_categories"]["room_events"].clone();
        found["results"].as_array().map_or(0, Vec::len)
    };
    assert_eq!((found(&carol).await, found(&bob).await), (0, 1));
    let postgres = &shared::cluster().await.postgres;
    let begin = std::time::Instant::now();
    while postgres.number("select count(*) from account_data where type = 'org.example.diary'").await > 0 {
        assert!(begin.elapsed() < std::time::Duration::from_secs(120), "account data stays");
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    }
}
