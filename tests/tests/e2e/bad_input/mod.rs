//! Bad input to every endpoint: always the protocol's error object and a sentence, never a 500, never silence.
//!
//! The routes come from `roost routes`; [`bodies`] says what each takes. A route that is not in that table fails.

mod bodies;
mod framing;

use std::time::Duration;

use bodies::{Kind, Takes, takes};
use roost_tests::{
    http::{Reply, seg},
    shared, turn,
    user::User,
};
use serde_json::{Value, json};

/// One route as `roost routes --json` lists it.
struct Route {
    method: String,
    path: String,
}

/// What path variables stand for: a room that the asker is in, and things in it.
struct Scene {
    user: User,
    room: String,
    event: String,
}

impl Scene {
    async fn new(user: User) -> Self {
        let room = user.public_room("bad input").await;
        let event = user.say(&room, "good").await;
        Self { user, room, event }
    }

    /// A well-formed value of a path variable.
    fn sample(&self, variable: &str) -> String {
        match variable {
            "roomId" | "room_id" | "roomIdOrAlias" => self.room.clone(),
            "userId" | "user_id" => self.user.id.clone(),
            "eventId" => self.event.clone(),
            "deviceId" => self.user.device.clone(),
            "roomAlias" => "#nobody:localhost".to_owned(),
            "eventType" | "event_type" | "type" => "org.example.bad".to_owned(),
            "receiptType" => "m.read".to_owned(),
            "keyName" => "displayname".to_owned(),
            "server_name" => "localhost".to_owned(),
            "kind" => "override".to_owned(),
            "version" | "filter_id" => "1".to_owned(),
            _ => "sample".to_owned(),
        }
    }

    /// The route's path with samples, or with `value` for the variable number `at`.
    fn path(&self, route: &Route, swap: Option<(usize, &str)>) -> String {
        let mut seen = 0;
        let parts = route.path.split('/').map(|part| {
            let Some(variable) = part.strip_prefix('{').and_then(|p| p.strip_suffix('}')) else {
                return part.to_owned();
            };
            seen += 1;
            match swap {
                Some((at, value)) if at == seen - 1 => value.to_owned(),
                _ => seg(&self.sample(variable)),
            }
        });
        parts.collect::<Vec<_>>().join("/")
    }

    async fn call(&self, route: &Route, path: &str, token: Option<&str>, body: Option<Vec<u8>>) -> Reply {
        let body = body.map(|bytes| ("application/json", bytes));
        let call = self.user.server.try_bytes(&route.method, path, token, body);
        tokio::time::timeout(Duration::from_secs(15), call)
            .await
            .unwrap_or_else(|_| panic!("{} {path}: no answer", route.method))
            .unwrap_or_else(|error| panic!("{} {path}: {error:?}", route.method))
    }
}

async fn routes() -> Vec<Route> {
    let listed = shared::quickstart().await.cli().run(&["routes", "--json"]).await.json();
    let text = |value: &Value| value.as_str().expect("a string").to_owned();
    let list = listed.as_array().expect("a list");
    list.iter().map(|route| Route { method: text(&route["method"]), path: text(&route["path"]) }).collect()
}

/// A refusal as the protocol has it, or whatever else is no failure of the server's.
fn check(reply: &Reply, case: &str) {
    assert!(reply.status < 500, "{case}: {} {}: {}", reply.asked, reply.status, reply.text());
    // What asks for proof of identity says which, instead of an error.
    let challenge = reply.status == 401 && reply.body["flows"].is_array();
    if reply.status >= 400 && !challenge {
        let sentence = reply.body["error"].as_str().unwrap_or_default();
        assert!(reply.body["errcode"].is_string(), "{case}: {}: no errcode in {}", reply.asked, reply.text());
        assert!(sentence.len() > 8, "{case}: {}: no sentence in {}", reply.asked, reply.text());
    }
}

fn refused(reply: &Reply, case: &str, codes: &[&str]) {
    check(reply, case);
    let code = reply.body["errcode"].as_str().unwrap_or_default();
    assert!(codes.contains(&code), "{case}: {}: {} {}", reply.asked, reply.status, reply.text());
}

/// Cases begin with an account of their own where the request would end it or log it out.
fn ends_the_session(route: &Route) -> bool {
    ["logout", "logout/all", "account/deactivate", "refresh"].iter().any(|end| route.path.ends_with(end))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_has_its_cases() {
    let _turn = turn::shared().await;
    let missing: Vec<String> = routes()
        .await
        .iter()
        .filter(|route| takes(&route.method, &route.path).is_none())
        .map(|route| format!("{} {}", route.method, route.path))
        .collect();
    assert!(missing.is_empty(), "without cases: {missing:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_are_missing_foreign_or_dead_open_nothing() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let scene = Scene::new(server.user("alice").await).await;
    let gone = server.user("gone").await;
    assert_eq!(gone.post("logout", json!({})).await.status, 200);
    for route in routes().await {
        let Some(Takes { token: true, .. }) = takes(&route.method, &route.path) else { continue };
        let path = scene.path(&route, None);
        refused(&scene.call(&route, &path, None, Some(b"{}".to_vec())).await, "no token", &["M_MISSING_TOKEN"]);
        for token in ["nonsense", "", &gone.token] {
            let reply = scene.call(&route, &path, Some(token), Some(b"{}".to_vec())).await;
            refused(&reply, "a bad token", &["M_UNKNOWN_TOKEN", "M_MISSING_TOKEN"]);
            assert_eq!(reply.status, 401, "{}", reply.asked);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_that_name_nothing_are_refused() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let scene = Scene::new(server.user("alice").await).await;
    let long = "x".repeat(300);
    for route in routes().await.iter().filter(|r| !ends_the_session(r)) {
        let variables = route.path.split('/').filter(|part| part.starts_with('{')).count();
        for at in 0..variables {
            for value in
                ["%00", "%FF", "%ZZ", "%", &long, "!nowhere:localhost", "@nobody:localhost", "$nothing", "%F0%9F%AA%BA"]
            {
                let path = scene.path(route, Some((at, value)));
                let reply = scene.call(route, &path, Some(&scene.user.token), Some(b"{}".to_vec())).await;
                check(&reply, value);
                // The key's id is no more than a hint, and not read.
                if (value == "%00" || value == "%FF") && !route.path.starts_with("/_matrix/key/") {
                    assert!(reply.status >= 400, "{value}: {}: {}", reply.asked, reply.text());
                }
            }
        }
    }
    scene.user.say(&scene.room, "still here").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_no_json_or_do_not_fit_are_refused() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let scene = Scene::new(server.user("alice").await).await;
    let deep = format!("{}1{}", "[".repeat(1000), "]".repeat(1000));
    let huge = format!("{{\"x\":\"{}\"}}", "y".repeat(200_000));
    for route in routes().await.iter().filter(|r| !ends_the_session(r)) {
        let Some(Takes { body, .. }) = takes(&route.method, &route.path) else { continue };
        let path = scene.path(route, None);
        let token = Some(scene.user.token.as_str());
        let ask = async |text: &str| scene.call(route, &path, token, Some(text.as_bytes().to_vec())).await;
        let Some(fields) = body else {
            // Where no body is taken, none is read.
            check(&ask("{{{").await, "an unwanted body");
            continue;
        };
        for text in ["{", "nonsense", "{\"a\":}", "{\"a\":1", "\u{feff}{}", "{\"a\":\"\u{1}\"}", "{'a':1}"] {
            refused(&ask(text).await, text, &["M_NOT_JSON"]);
        }
        let broken = scene.call(route, &path, token, Some(b"{\"a\":\"\xff\"}".to_vec())).await;
        refused(&broken, "not UTF-8", &["M_NOT_JSON"]);
        for text in ["[]", "1", "\"text\"", "null", "true", &deep] {
            refused(&ask(text).await, text, &["M_BAD_JSON", "M_NOT_JSON"]);
        }
        check(&ask(&huge).await, "a large body");
        refused(&ask("{\"a\":\"\\ud800\"}").await, "a lone surrogate", &["M_NOT_JSON", "M_BAD_JSON"]);
        check(&ask("{\"a\":\"\\u0000\"}").await, "U+0000");
        for number in ["9007199254740993", "-9007199254740993", "1e400", "1.5", "123456789012345678901234567890"] {
            check(&ask(&format!("{{\"a\":{number}}}")).await, number);
        }
        for (field, kind) in fields {
            for (word, wrong) in kind.wrong() {
                let mut sample = bodies::sample(fields);
                sample[*field] = wrong;
                let reply = ask(&sample.to_string()).await;
                let case = format!("`{field}` is {word}");
                let codes = ["M_BAD_JSON", "M_INVALID_PARAM", "M_MISSING_PARAM", "M_NOT_JSON"];
                refused(&reply, &case, &codes);
            }
        }
    }
    // The cases have left the room, among other things.
    let room = scene.user.public_room("afterwards").await;
    scene.user.say(&room, "still here").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_routes_and_wrong_methods_are_unrecognized() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    for path in
        ["/", "/_matrix", "/_matrix/client/v3/nonsense", "/_matrix/client/v9/sync", "/_matrix/federation/v1/nonsense"]
    {
        server.call("GET", path, None, None).await.is(404, "M_UNRECOGNIZED");
    }
    let scene = Scene::new(server.user("alice").await).await;
    for route in routes().await {
        let reply =
            scene.user.server.try_bytes("PATCH", &scene.path(&route, None), Some(&scene.user.token), None).await;
        reply.expect("an answer").is(405, "M_UNRECOGNIZED");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_is_said_to_be() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let scene = Scene::new(server.user("alice").await).await;
    let long = "z".repeat(70_000);
    scene
        .user
        .send_as(&scene.room, "m.room.message", "large", json!({ "msgtype": "m.text", "body": long }))
        .await
        .is(413, "M_TOO_LARGE");
    let mut deep = json!(1);
    for _ in 0..90 {
        deep = json!([deep]);
    }
    let reply = scene.user.send_as(&scene.room, "m.room.message", "deep", json!({ "a": deep })).await;
    check(&reply, "a deep event");
    let floats = scene.user.send_as(&scene.room, "m.room.message", "float", json!({ "a": 1.5 })).await;
    floats.is(400, "M_BAD_JSON");
}

impl Kind {
    /// Values of other types, each with its name.
    fn wrong(self) -> Vec<(&'static str, Value)> {
        let all = [
            ("a string", json!("text")),
            ("a number", json!(7)),
            ("a boolean", json!(true)),
            ("a list", json!([1])),
            ("an object", json!({ "a": [] })),
        ];
        let fits = |word: &str| {
            matches!(
                (self, word),
                (Self::Text | Self::Id, "a string")
                    | (Self::Flag, "a boolean")
                    | (Self::Number, "a number")
                    | (Self::List, "a list")
                    | (Self::Object, "an object")
            )
        };
        all.into_iter().filter(|(word, _)| !fits(word)).collect()
    }
}
