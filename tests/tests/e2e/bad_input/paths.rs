//! Paths and queries that name nothing, or are none.

use roost_tests::{http::seg, shared, turn};

use super::{
    findings::{Expect, Findings},
    scene::{Route, Scene, routes},
    table::{Takes, takes},
};

#[tokio::test(flavor = "multi_thread")]
async fn paths_that_are_malformed_or_name_nothing_are_refused() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let (scene, findings) = (Scene::new(&server).await, Findings::default());
    for route in routes().await.iter().filter(|route| !route.is_alias() && !route.ends_the_session()) {
        let Some(takes) = takes(&route.method, &route.path) else { continue };
        // The key's id is no more than a hint, and not read.
        if route.path.starts_with("/_matrix/key/") {
            continue;
        }
        for (at, variable) in route.variables().into_iter().enumerate() {
            for (value, expect) in values(route, variable) {
                let path = scene.path(route, &takes, Some((at, &value)));
                let case = format!("`{variable}` is {}", value.chars().take(40).collect::<String>());
                let reply = scene.ask(route, &path, Some(&scene.user.token), Some(b"{}".to_vec())).await;
                findings.judge(&case, reply, expect);
            }
        }
    }
    findings.end();
    scene.is_sound().await;
}

/// Values of a path variable that are wrong for every route.
fn values(route: &Route, variable: &str) -> Vec<(String, Expect)> {
    const UNKNOWN: Expect = Expect::One(&[(403, "M_FORBIDDEN"), (404, "M_NOT_FOUND")]);
    let long = "x".repeat(300);
    let broken = ["%00", "a%00b", "%FF", "%C3%28", "%ZZ", "a%2", "%"];
    let mut all: Vec<_> = broken.iter().map(|value| ((*value).to_owned(), Expect::BadRequest)).collect();
    let mut ids = |bad: &[&str], long: String| {
        all.extend(bad.iter().map(|value| (seg(value), Expect::BadRequest)));
        all.push((seg(&long), Expect::BadRequest));
    };
    match variable {
        "userId" | "user_id" => ids(&["nobody", "@", "@nobody", "!a:localhost"], format!("@{long}:localhost")),
        "roomId" | "room_id" => ids(&["nowhere", "@a:localhost", "#a:localhost"], format!("!{long}:localhost")),
        "roomIdOrAlias" => ids(&["nowhere", "@a:localhost"], format!("!{long}:localhost")),
        "roomAlias" => ids(&["nowhere", "#a", "!a:localhost"], format!("#{long}:localhost")),
        "eventId" => {
            ids(&["nothing", "!a:localhost"], format!("$x:{long}.localhost"));
            // Without a server in it, an ID may pass for one that nobody knows.
            all.push((seg(&format!("${long}")), Expect::Refused));
        }
        "server_name" => ids(&["not a name", "-:x"], format!("{long}:nine")),
        _ => all.push((long, Expect::NoFailure)),
    }
    all.push((seg("🪺\u{202e}"), Expect::NoFailure));
    all.push((seg("../../versions"), Expect::NoFailure));
    // Well-formed, and nobody's. Backups may be of rooms that this server never saw.
    let unknown = match variable {
        "roomId" | "roomIdOrAlias" => "!nowhere:localhost",
        "userId" | "user_id" => "@nobody-at-all:localhost",
        // A redaction may come before what it redacts.
        "eventId" if route.path.contains("/redact/") => return all,
        "eventId" => "$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "deviceId" | "media_id" | "filter_id" | "version" if route.method == "GET" => "4711",
        _ => return all,
    };
    // A body that is missing something is said so first.
    let expect = if route.method == "GET" { UNKNOWN } else { Expect::Refused };
    all.push((seg(unknown), expect));
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_that_do_not_fit_are_refused() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let (scene, findings) = (Scene::new(&server).await, Findings::default());
    for route in routes().await.iter().filter(|route| !route.is_alias()) {
        let Some(takes) = takes(&route.method, &route.path) else { continue };
        judge_query(&scene, &findings, route, &takes).await;
    }
    findings.end();
    scene.is_sound().await;
}

async fn judge_query(scene: &Scene, findings: &Findings, route: &Route, takes: &Takes) {
    let path = scene.path(route, takes, None);
    let ask = async |case: &str, path: &str, expect: Expect| {
        let reply = scene.ask(route, path, Some(&scene.user.token), Some(b"{}".to_vec())).await;
        findings.judge(case, reply, expect);
    };
    for field in takes.query {
        let rest = scene.query(&path, takes, Some(field.name));
        let sign = if rest.contains('?') { '&' } else { '?' };
        let name = field.name;
        if field.required {
            ask(&format!("without `{name}`"), &rest, Expect::Missing).await;
        }
        // Bodies are judged elsewhere; of a query with a body it is only asked that nothing fails.
        let strict = route.method == "GET";
        for (value, expect) in field.kind.wrong_in_query() {
            let expect = if strict { expect } else { Expect::NoFailure };
            ask(&format!("`{name}` is {value}"), &format!("{rest}{sign}{name}={value}"), expect).await;
        }
        ask(&format!("`{name}` has U+0000"), &format!("{rest}{sign}{name}=a%00b"), Expect::Refused).await;
        let deep = format!("{rest}{sign}{name}={}", "%5B".repeat(1000));
        ask(&format!("`{name}` is deep"), &deep, Expect::NoFailure).await;
    }
}
