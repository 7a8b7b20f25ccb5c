//! Registration, login, tokens, devices, profile, account data.

use roost_tests::{
    http::{seg, text},
    node::SHARED_SECRET,
    scratch, shared,
    sync::{find, list, timeline},
    turn,
    user::User,
};
use serde_json::json;

use crate::hmac;

#[tokio::test(flavor = "multi_thread")]
async fn a_newcomer_registers_and_is_known() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let alice = server.user("alice").await;

    let me = alice.get("account/whoami").await.ok();

    assert_eq!(me["user_id"], alice.id);
    assert_eq!(me["device_id"], alice.device);
    assert_ne!(me["is_guest"], true);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_can_be_had_once() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let name = scratch::name("name");
    let available = format!("register/available?username={name}");
    assert_eq!(server.call("GET", &available, None, None).await.ok()["available"], true);

    server.register(&name).await;

    server.call("GET", &available, None, None).await.is(400, "M_USER_IN_USE");
    let again = json!({ "username": name, "password": "another" });
    server.call("POST", "register", None, Some(&again)).await.is(400, "M_USER_IN_USE");
    let odd = format!("register/available?username={}", seg("No Such Näme"));
    server.call("GET", &odd, None, None).await.is(400, "M_INVALID_USERNAME");
}

#[tokio::test(flavor = "multi_thread")]
async fn registration_can_leave_out_the_login() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let name = scratch::name("quiet");
    let mut ask = json!({ "username": name, "password": "a quiet password", "inhibit_login": true });
    let session = server.call("POST", "register", None, Some(&ask)).await.unauthorized();
    ask["auth"] = json!({ "type": "m.login.dummy", "session": session["session"] });

    let made = server.call("POST", "register", None, Some(&ask)).await.ok();

    assert!(made["user_id"].is_string());
    assert!(made["access_token"].is_null() && made["device_id"].is_null());
    let _ = server.login(&name, "a quiet password", None).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_right_password_opens() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let alice = server.user("alice").await;

    let by_id = server.login(&alice.id, &alice.password, None).await.ok();
    assert_eq!(by_id["user_id"], alice.id);
    let by_name = server.login(alice.localpart(), &alice.password, Some("CHOSEN")).await.ok();
    assert_eq!(by_name["device_id"], "CHOSEN");

    server.login(alice.localpart(), "wrong", None).await.is(403, "M_FORBIDDEN");
    server.login(&scratch::name("nobody"), "wrong", None).await.is(403, "M_FORBIDDEN");
}

#[tokio::test(flavor = "multi_thread")]
async fn logging_in_again_on_a_device_replaces_its_token() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let alice = server.user("alice").await;

    let again = server.login(alice.localpart(), &alice.password, Some(&alice.device)).await.ok();
    let again = User::from_login(server.clone(), &again, &alice.password);

    assert_eq!(again.device, alice.device);
    let _ = again.get("account/whoami").await.ok();
    alice.get("account/whoami").await.is(401, "M_UNKNOWN_TOKEN");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_token_is_good_for_one_login() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let alice = server.user("alice").await;
    let answer = alice.with_password("POST", "/_matrix/client/v1/login/get_token", json!({})).await;
    if answer.status == 404 {
        return; // The feature is optional; a server that offers it must keep to it.
    }
    let token = answer.ok()["login_token"].clone();

    let ask = json!({ "type": "m.login.token", "token": token });
    let made = server.call("POST", "login", None, Some(&ask)).await.ok();

    assert_eq!(made["user_id"], alice.id);
    assert_ne!(made["device_id"], alice.device);
    server.call("POST", "login", None, Some(&ask)).await.is(403, "M_FORBIDDEN");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_users_password_proves_nothing() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let second = alice.new_device().await;
    let proof = json!({ "auth": {
        "type": "m.login.password",
        "identifier": { "type": "m.id.user", "user": bob.id },
        "password": bob.password,
    } });
    let path = format!("devices/{}", seg(&second.device));
    alice.delete(&path, Some(proof)).await.is(403, "M_FORBIDDEN");
    let _ = alice.get(&path).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_rule_of_an_unknown_kind_is_not_found_and_not_made() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let alice = server.user("alice").await;
    alice.get("pushrules/global/postcontent/mine").await.is(404, "M_NOT_FOUND");
    alice.put("pushrules/global/postcontent/mine", json!({ "actions": [] })).await.is(400, "M_INVALID_PARAM");
    let silent = json!({ "actions": ["dont_notify"] });
    let _ = alice.put("pushrules/global/room/!somewhere:localhost", silent.clone()).await.ok();
    let kept = alice.get("pushrules/global/room/!somewhere:localhost").await.ok();
    assert_eq!(kept["actions"], silent["actions"], "an action of the past is kept as it was written");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_renews_the_access_token() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let alice = server.user("alice").await;
    let ask = json!({
        "type": "m.login.password",
        "identifier": { "type": "m.id.user", "user": alice.localpart() },
        "password": alice.password,
        "refresh_token": true,
    });
    let first = server.call("POST", "login", None, Some(&ask)).await.ok();
    assert!(first["expires_in_ms"].as_u64().is_some_and(|ms| ms > 1_000), "{first}");

    let renew = json!({ "refresh_token": first["refresh_token"] });
    let second = server.call("POST", "refresh", None, Some(&renew)).await.ok();

    assert_ne!(first["access_token"], second["access_token"]);
    let whoami = |token: String| {
        let server = server.clone();
        async move { server.call("GET", "account/whoami", Some(&token), None).await }
    };
    assert_eq!(whoami(text(&second["access_token"])).await.ok()["device_id"], first["device_id"]);
    // The client has shown that the new pair arrived: the old one is void.
    whoami(text(&first["access_token"])).await.is(401, "M_UNKNOWN_TOKEN");
    let reply = server.call("POST", "refresh", None, Some(&renew)).await;
    assert!(matches!(reply.status, 401 | 403), "{}", reply.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_without_a_valid_token_are_told_so() {
    let _turn = turn::shared().await;
    let server = shared::server().await;

    server.call("GET", "account/whoami", None, None).await.is(401, "M_MISSING_TOKEN");
    server.call("GET", "account/whoami", Some("no-such-token"), None).await.is(401, "M_UNKNOWN_TOKEN");
}

#[tokio::test(flavor = "multi_thread")]
async fn logout_ends_one_device_and_logout_all_every_one() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let phone = server.user("alice").await;
    let laptop = phone.new_device().await;
    let tablet = phone.new_device().await;

    laptop.logout().await;
    laptop.get("account/whoami").await.is(401, "M_UNKNOWN_TOKEN");
    let _ = phone.get("account/whoami").await.ok();

    let _ = phone.post("logout/all", json!({})).await.ok();
    for device in [&phone, &tablet] {
        device.get("account/whoami").await.is(401, "M_UNKNOWN_TOKEN");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_password_ends_the_other_devices() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let phone = server.user("alice").await;
    let laptop = phone.new_device().await;

    let change = json!({ "new_password": "battery staple" });
    let _ = phone.with_password("POST", "account/password", change).await.ok();

    let _ = phone.get("account/whoami").await.ok();
    laptop.get("account/whoami").await.is(401, "M_UNKNOWN_TOKEN");
    server.login(phone.localpart(), &phone.password, None).await.is(403, "M_FORBIDDEN");
    let _ = server.login(phone.localpart(), "battery staple", None).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_does_not_complete_authentication() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let mut alice = server.user("alice").await;
    alice.password = "wrong".to_owned();

    let reply = alice.with_password("POST", "account/password", json!({ "new_password": "x" })).await;

    assert_eq!((reply.status, reply.body["errcode"].as_str()), (401, Some("M_FORBIDDEN")), "{}", reply.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deactivated_account_is_gone_for_good() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let room = bob.public_room("a room").await;
    alice.join(&room).await;
    bob.sync().await;

    let _ = alice.with_password("POST", "account/deactivate", json!({})).await.ok();

    alice.get("account/whoami").await.is(401, "M_UNKNOWN_TOKEN");
    assert_eq!(server.login(alice.localpart(), &alice.password, None).await.status, 403);
    let available = format!("register/available?username={}", alice.localpart());
    server.call("GET", &available, None, None).await.is(400, "M_USER_IN_USE");
    bob.wait_for("departure", |sync| {
        let events = timeline(sync, &room);
        find(&events, "m.room.member", Some(&alice.id)).filter(|it| it["content"]["membership"] == "leave").map(|_| ())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_are_listed_named_and_deleted() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let phone = server.user("alice").await;
    let (laptop, tablet) = (phone.new_device().await, phone.new_device().await);

    let _ = phone.put(&format!("devices/{}", laptop.device), json!({ "display_name": "laptop" })).await.ok();
    assert_eq!(phone.get(&format!("devices/{}", laptop.device)).await.ok()["display_name"], "laptop");
    assert_eq!(list(&phone.get("devices").await.ok()["devices"]).len(), 3);

    let _ = phone.with_password("DELETE", &format!("devices/{}", laptop.device), json!({})).await.ok();
    laptop.get("account/whoami").await.is(401, "M_UNKNOWN_TOKEN");
    phone.get(&format!("devices/{}", laptop.device)).await.is(404, "M_NOT_FOUND");

    let _ = phone.with_password("POST", "delete_devices", json!({ "devices": [tablet.device] })).await.ok();
    tablet.get("account/whoami").await.is(401, "M_UNKNOWN_TOKEN");
    assert_eq!(list(&phone.get("devices").await.ok()["devices"]).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_shows_in_rooms() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let room = alice.public_room("a room").await;
    bob.join(&room).await;
    let profile = format!("profile/{}", seg(&alice.id));
    bob.sync().await;

    let name = json!({ "displayname": "Alice in Wonderland" });
    let _ = alice.put(&format!("{profile}/displayname"), name.clone()).await.ok();
    let picture = json!({ "avatar_url": "mxc://localhost/alice" });
    let _ = alice.put(&format!("{profile}/avatar_url"), picture).await.ok();

    let whole = bob.get(&profile).await.ok();
    assert_eq!(whole, json!({ "displayname": "Alice in Wonderland", "avatar_url": "mxc://localhost/alice" }));
    assert_eq!(bob.get(&format!("{profile}/displayname")).await.ok(), name);
    bob.wait_for("her new name and picture", |sync| {
        let events = timeline(sync, &room);
        let named = events.iter().any(|it| {
            it["state_key"] == alice.id.as_str()
                && it["content"]["displayname"] == "Alice in Wonderland"
                && it["content"]["avatar_url"] == "mxc://localhost/alice"
        });
        named.then_some(())
    })
    .await;
    let foreign = bob.put(&format!("{profile}/displayname"), json!({ "displayname": "Mallory" })).await;
    foreign.is(403, "M_FORBIDDEN");
    bob.get(&format!("profile/{}", seg("@nobody-at-all:localhost"))).await.is(404, "M_NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread")]
async fn account_data_is_kept_and_synced() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let phone = server.user("alice").await;
    let laptop = phone.new_device().await;
    let room = phone.public_room("a room").await;
    laptop.sync().await;

    let _ = phone.put(&phone.own("account_data/org.example.global"), json!({ "a": 1 })).await.ok();
    let in_room = phone.own(&format!("rooms/{}/account_data/org.example.room", seg(&room)));
    let _ = phone.put(&in_room, json!({ "b": 2 })).await.ok();
    let tag = phone.own(&format!("rooms/{}/tags/u.work", seg(&room)));
    let _ = phone.put(&tag, json!({ "order": 0.25 })).await.ok();

    assert_eq!(laptop.account_data("org.example.global").await.ok(), json!({ "a": 1 }));
    assert_eq!(laptop.get(&in_room).await.ok(), json!({ "b": 2 }));
    let tags = phone.own(&format!("rooms/{}/tags", seg(&room)));
    assert_eq!(laptop.get(&tags).await.ok(), json!({ "tags": { "u.work": { "order": 0.25 } } }));
    let sync = laptop.sync().await;
    let global = list(&sync["account_data"]["events"]);
    assert_eq!(find(&global, "org.example.global", None).expect("global data")["content"], json!({ "a": 1 }));
    let local = list(&sync["rooms"]["join"][&room]["account_data"]["events"]);
    assert_eq!(find(&local, "org.example.room", None).expect("room data")["content"], json!({ "b": 2 }));
    assert_eq!(find(&local, "m.tag", None).expect("tags")["content"]["tags"]["u.work"]["order"], 0.25);

    let _ = phone.delete(&tag, None).await.ok();
    assert_eq!(laptop.get(&tags).await.ok(), json!({ "tags": {} }));
    phone.account_data("org.example.none").await.is(404, "M_NOT_FOUND");
    assert_eq!(phone.put(&phone.own("account_data/m.fully_read"), json!({})).await.status, 405);
    let other = server.user("eve").await;
    other.get(&phone.own("account_data/org.example.global")).await.is(403, "M_FORBIDDEN");
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_are_stored() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let alice = server.user("alice").await;
    let filter = json!({ "room": { "timeline": { "limit": 3, "types": ["m.room.message"] } } });

    let id = text(&alice.post(&alice.own("filter"), filter.clone()).await.ok()["filter_id"]);

    assert!(!id.starts_with('{'));
    let stored = alice.get(&alice.own(&format!("filter/{id}"))).await.ok();
    assert_eq!(stored["room"]["timeline"]["limit"], 3);
    assert_eq!(stored["room"]["timeline"]["types"], json!(["m.room.message"]));
    assert_eq!(alice.get(&alice.own("filter/999999")).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_says_what_it_can() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let alice = server.user("alice").await;

    let versions = server.call("GET", "/_matrix/client/versions", None, None).await.ok();
    assert!(list(&versions["versions"]).contains(&json!("v1.11")), "{versions}");
    let capabilities = alice.get("capabilities").await.ok()["capabilities"].clone();
    assert_eq!(capabilities["m.room_versions"]["default"], "12");
    for version in 1..=12 {
        assert_eq!(capabilities["m.room_versions"]["available"][version.to_string()], "stable");
    }
    let flows = server.call("GET", "login", None, None).await.ok();
    assert!(find(&list(&flows["flows"]), "m.login.password", None).is_some(), "{flows}");
}

#[tokio::test(flavor = "multi_thread")]
async fn deployment_tools_register_by_shared_secret() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let path = "/_synapse/admin/v1/register";
    let name = scratch::name("tool");
    let nonce = text(&server.call("GET", path, None, None).await.ok()["nonce"]);
    let ask = |admin: bool, secret: &str| {
        let word = if admin { "admin" } else { "notadmin" };
        let signed = format!("{nonce}\0{name}\0a long password\0{word}");
        json!({
            "nonce": nonce, "username": name, "password": "a long password", "admin": admin,
            "mac": hmac::sha1(secret.as_bytes(), signed.as_bytes()),
        })
    };

    let wrong = server.call("POST", path, None, Some(&ask(false, "not the secret"))).await;
    assert_eq!(wrong.status, 403, "{}", wrong.text());
    let nonce = text(&server.call("GET", path, None, None).await.ok()["nonce"]);
    let signed = format!("{nonce}\0{name}\0a long password\0admin");
    let right = json!({
        "nonce": nonce, "username": name, "password": "a long password", "admin": true,
        "mac": hmac::sha1(SHARED_SECRET.as_bytes(), signed.as_bytes()),
    });
    let made = server.call("POST", path, None, Some(&right)).await.ok();

    assert!(made["access_token"].is_string() && made["device_id"].is_string(), "{made}");
    let replayed = server.call("POST", path, None, Some(&right)).await;
    assert_eq!(replayed.status, 400, "a nonce is good for one use: {}", replayed.text());
    let _ = server.login(&name, "a long password", None).await.ok();
}
