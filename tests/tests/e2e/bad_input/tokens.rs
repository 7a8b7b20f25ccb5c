//! Tokens that are missing, foreign, expired or used up open nothing.

use roost_tests::{http::text, shared, turn, user::User};
use serde_json::json;

use super::{
    findings::{Expect, Findings},
    scene::{Scene, routes},
    table::{Body, takes},
};

const MISSING: Expect = Expect::One(&[(401, "M_MISSING_TOKEN")]);
const UNKNOWN: Expect = Expect::One(&[(401, "M_UNKNOWN_TOKEN")]);

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_are_missing_or_dead_open_nothing() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let (scene, findings) = (Scene::new(&server).await, Findings::default());
    let gone = server.user("gone").await;
    gone.logout().await;
    let refreshed = refreshed(&server).await;
    for route in routes().await {
        let Some(takes) = takes(&route.method, &route.path).filter(|takes| takes.token) else { continue };
        let path = scene.path(&route, &takes, None);
        let ask = async |token: Option<&str>| scene.ask(&route, &path, token, Some(b"{}".to_vec())).await;
        findings.judge("no token", ask(None).await, MISSING);
        findings.judge("nonsense", ask(Some("nonsense")).await, UNKNOWN);
        findings.judge("a long token", ask(Some(&"x".repeat(8000))).await, UNKNOWN);
        findings.judge("a logged-out token", ask(Some(&gone.token)).await, UNKNOWN);
        findings.judge("a refreshed token", ask(Some(&refreshed)).await, UNKNOWN);
    }
    findings.end();
    scene.is_sound().await;
}

/// An access token whose successor is in use; the refresh token is used up with it.
async fn refreshed(server: &roost_tests::Server) -> String {
    let user = server.user("fresh").await;
    let ask = json!({
        "type": "m.login.password",
        "identifier": { "type": "m.id.user", "user": user.localpart() },
        "password": user.password,
        "refresh_token": true,
    });
    let first = server.call("POST", "login", None, Some(&ask)).await.ok();
    let renew = json!({ "refresh_token": first["refresh_token"] });
    let second = server.call("POST", "refresh", None, Some(&renew)).await.ok();
    let whoami = server.call("GET", "account/whoami", Some(&text(&second["access_token"])), None).await;
    let _ = whoami.ok();
    server.call("POST", "refresh", None, Some(&renew)).await.is(401, "M_UNKNOWN_TOKEN");
    text(&first["access_token"])
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_token_asks_for_a_new_one() {
    let _turn = turn::shared().await;
    let cluster = shared::cluster().await;
    let server = cluster.server(0);
    let user = server.user("late").await;
    let ask = json!({
        "type": "m.login.password",
        "identifier": { "type": "m.id.user", "user": user.localpart() },
        "password": user.password,
        "device_id": "LATE",
        "refresh_token": true,
    });
    let late = User::from_login(server.clone(), &server.call("POST", "login", None, Some(&ask)).await.ok(), "");

    // Nobody waits an hour: no node has seen this token yet.
    let sql = "update token set expires_ts = 1 where device in (select nr from device where device_id = 'LATE')";
    let done = sqlx::query(sql).execute(&mut cluster.postgres.connect().await).await.expect(sql);
    assert_eq!(done.rows_affected(), 1);

    let reply = late.get("account/whoami").await;
    reply.is(401, "M_UNKNOWN_TOKEN");
    assert_eq!(reply.body["soft_logout"], true, "the client may refresh: {}", reply.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_uses_what_is_another_users() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let (scene, findings) = (Scene::new(&server).await, Findings::default());
    let stranger = server.user("stranger").await;
    for route in routes().await.iter().filter(|route| !route.is_alias()) {
        let Some(takes) = takes(&route.method, &route.path).filter(|takes| takes.token) else { continue };
        let variables = route.variables();
        let of_user = variables.iter().any(|it| ["userId", "user_id"].contains(it));
        let of_room = route.path.contains("/rooms/{roomId}/") && !route.path.ends_with("/join");
        // Leaving and forgetting a room that one is not in is no harm. Whoever could join may know of a room from outside,
        // and anybody may complain.
        let harmless = ["/leave", "/forget", "/hierarchy", "/report"].iter().any(|end| route.path.ends_with(end));
        let expect = if of_user { Expect::Refused } else { Expect::One(&[(403, "M_FORBIDDEN"), (404, "M_NOT_FOUND")]) };
        if harmless || !(of_user || of_room) {
            continue;
        }
        let body = match takes.body {
            Body::Must(kind) | Body::May(kind) => kind.sample(&scene).to_string(),
            _ => "{}".to_owned(),
        };
        let path = scene.path(route, &takes, None);
        let reply = scene.ask(route, &path, Some(&stranger.token), Some(body.into_bytes())).await;
        findings.judge("a stranger", reply, expect);
    }
    findings.end();
    scene.is_sound().await;
}
