//! Bodies that are no JSON, or do not fit.

use futures::StreamExt as _;
use roost_tests::{shared, turn};
use serde_json::json;

use super::{
    findings::{Expect, Findings},
    kind::{Kind, text},
    scene::{Route, Scene, routes},
    table::{Body, Takes, takes},
};

/// Requests under way at once.
const AT_ONCE: usize = 6;

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_no_json_or_do_not_fit_are_refused() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let (scene, findings) = (Scene::new(&server).await, Findings::default());
    let listed = routes().await;
    let judged = listed.iter().filter(|route| !route.is_alias() && !route.ends_the_session());
    let judged = judged.filter_map(|route| Some((route, takes(&route.method, &route.path)?)));
    let (scene_ref, findings_ref) = (&scene, &findings);
    futures::stream::iter(judged)
        .for_each_concurrent(AT_ONCE, async |(route, takes)| judge(scene_ref, findings_ref, route, &takes).await)
        .await;
    findings.end();
    scene.is_sound().await;
}

async fn judge(scene: &Scene, findings: &Findings, route: &Route, takes: &Takes) {
    let ask = async |case: &str, body: Vec<u8>, expect: Expect| {
        let path = scene.path(route, takes, None);
        let token = takes.token.then_some(scene.user.token.as_str());
        findings.judge(case, scene.ask(route, &path, token, Some(body)).await, expect);
    };
    let kind = match takes.body {
        Body::None | Body::Bytes => {
            // Where no JSON is taken, none is read.
            ask("an unwanted body", b"{{{".to_vec(), Expect::NoFailure).await;
            return;
        }
        Body::Must(kind) | Body::May(kind) => kind,
        Body::Content => Kind::Free,
    };
    let no_json =
        ["{", "nonsense", "{\"a\":}", "{\"a\":1", "\u{feff}{}", "{\"a\":\"\u{1}\"}", "{'a':1}", "[1,2", "{\"a\":01}"];
    for body in no_json {
        ask(body, body.into(), Expect::NotJson).await;
    }
    ask("not UTF-8", b"{\"a\":\"\xff\"}".to_vec(), Expect::NotJson).await;
    ask("a lone surrogate", br#"{"a":"\udfff"}"#.to_vec(), Expect::NotJson).await;
    ask("a lone surrogate in a key", br#"{"\ud800":1}"#.to_vec(), Expect::NotJson).await;
    if let Body::Must(_) | Body::Content = takes.body {
        ask("nothing", Vec::new(), Expect::NotJson).await;
    }
    for body in ["[]", "1", "\"text\"", "null", "true", "[{}]"] {
        ask(body, body.into(), Expect::WrongType).await;
    }
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let deep = format!("{{\"a\":{}1{}}}", open.repeat(1000), close.repeat(1000));
        ask("1,000 levels deep", deep.into(), Expect::BadRequest).await;
    }
    for number in ["9007199254740992", "-9007199254740992", "1e400", "-1e-400", "1.5", "123456789012345678901234567890"]
    {
        ask(number, format!("{{\"a\":{number}}}").into(), Expect::NoFailure).await;
    }
    ask("U+0000", br#"{"a\u0000":"\u0000"}"#.to_vec(), Expect::NoFailure).await;
    let huge = json!({ "a": "y".repeat(4 << 20) }).to_string();
    ask("a body of 4 MiB", huge.into(), Expect::One(&[(413, "M_TOO_LARGE")])).await;
    if !matches!(takes.body, Body::Content) {
        for wrong in kind.wrong(scene) {
            // What the whole body is was asked above.
            if wrong.value.is_object() {
                ask(&wrong.what, text(&wrong.value).into(), wrong.expect).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_or_no_canonical_json_is_said_to_be() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let scene = Scene::new(&server).await;
    let send = async |txn: &str, content| scene.user.send_as(&scene.room, "m.room.message", txn, content).await;
    send("large", json!({ "msgtype": "m.text", "body": "z".repeat(70_000) })).await.is(413, "M_TOO_LARGE");
    send("float", json!({ "a": 1.5 })).await.is(400, "M_BAD_JSON");
    send("wide", json!({ "a": 9_007_199_254_740_992_u64 })).await.is(400, "M_BAD_JSON");
    let long = "x".repeat(300);
    let kind = scene.user.send_as(&scene.room, &long, "kind", json!({})).await;
    assert!(kind.status >= 400 && kind.status < 500, "a type over 255 bytes: {} {}", kind.status, kind.text());
    let key = scene.user.set_state(&scene.room, "org.example.state", &long, json!({})).await;
    assert!(key.status >= 400 && key.status < 500, "a state key over 255 bytes: {} {}", key.status, key.text());
    scene.is_sound().await;
}
