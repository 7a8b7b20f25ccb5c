//! Which routes there are, and what is said where there is none.

use std::collections::{BTreeMap, BTreeSet};

use roost_tests::{shared, turn};

use super::{
    findings::{Expect, Findings},
    scene::{Route, Scene, routes},
    table::takes,
};

#[tokio::test(flavor = "multi_thread")]
async fn every_route_has_its_cases() {
    let _turn = turn::shared().await;
    let listed = routes().await;
    let missing = listed.iter().filter(|route| takes(&route.method, &route.path).is_none());
    let missing: Vec<String> = missing.map(|route| format!("{} {}", route.method, route.path)).collect();
    assert!(missing.is_empty(), "without cases: {missing:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_routes_and_wrong_methods_are_unrecognized() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    for path in [
        "/nonsense",
        "/_matrix",
        "/_matrix/client/v3/nonsense",
        "/_matrix/client/v9/sync",
        "/_matrix/federation/v1/nonsense",
    ] {
        server.call("GET", path, None, None).await.is(404, "M_UNRECOGNIZED");
    }
    let (scene, findings) = (Scene::new(&server).await, Findings::default());
    let mut methods: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for route in routes().await {
        methods.entry(route.path).or_default().insert(route.method);
    }
    for (path, known) in &methods {
        let Some(takes) = known.first().and_then(|method| takes(method, path)) else { continue };
        for method in
            ["GET", "PUT", "POST", "DELETE", "PATCH", "NONSENSE"].into_iter().filter(|it| !known.contains(*it))
        {
            let route = Route { method: method.to_owned(), path: path.clone() };
            let asked = scene.path(&route, &takes, None);
            let reply = scene.ask(&route, &asked, Some(&scene.user.token), None).await;
            findings.judge("a wrong method", reply, Expect::One(&[(405, "M_UNRECOGNIZED")]));
        }
    }
    findings.end();
    scene.is_sound().await;
}
