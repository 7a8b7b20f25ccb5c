//! The files of `deploy/`, as an operator takes them: proxies that hold long-polls, and figures that exist.

use std::{collections::BTreeSet, path::Path, process::Command};

use roost_tests::{Quickstart, port, turn};
use serde_json::Value;

use crate::{
    proxies::{Proxies, deployed},
    waiting,
};

#[tokio::test(flavor = "multi_thread")]
async fn proxies_stream_and_say_who_asks() {
    let _turn = turn::shared().await;
    // A minute of a long-poll goes by while this test and others run.
    waiting::begin();
    let quickstart = Quickstart::start_with(&[
        ("ROOST_REGISTRATION__MODE", "open"),
        ("ROOST_HTTP__TRUSTED_PROXIES", r#"["127.0.0.1"]"#),
        ("ROOST_RATE_LIMITS__LOOKUP", "2 + 1/h"),
        ("ROOST_LOG__LEVEL", "info,roost::http=debug"),
    ])
    .await;
    let server = quickstart.server();
    let proxies = Proxies::start(&[server.base()]).await;
    let (client, through_nginx) = (&proxies.client, &proxies.nginx);

    let alice = server.user("alice").await;
    for base in proxies.bases() {
        let status = async |path: &str| client.get(format!("{base}{path}")).send().await.unwrap().status().as_u16();
        assert_eq!(status("/.well-known/matrix/client").await, 200, "{base}");
        assert_eq!(status("/health/ready").await, 404, "{base}: for operators, not for the world");
        assert_eq!(status("/_synapse/admin/v1/register").await, 404, "{base}: nor this");
        // A large upload streams through.
        let upload = client.post(format!("{base}/_matrix/media/v3/upload")).bearer_auth(&alice.token);
        let answer = upload.header("content-type", "image/png").body(vec![7; 20 << 20]).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{base}");
        // What the proxy says itself is JSON, and a client in a browser may read it. All that the server takes goes through.
        for (bytes, expected) in [(100 << 20, 200), ((100 << 20) + 1, 413)] {
            let upload = client.post(format!("{base}/_matrix/media/v3/upload")).bearer_auth(&alice.token);
            let answer = upload.body(vec![7; bytes]).send().await.unwrap_or_else(|error| panic!("{base}: {error:?}"));
            assert_eq!(answer.status(), expected, "{base}");
            assert_eq!(answer.headers()["access-control-allow-origin"], "*", "{base}");
            let body: Value = answer.json().await.unwrap();
            assert_eq!(body["errcode"].as_str(), (expected == 413).then_some("M_TOO_LARGE"), "{base}: {body}");
        }
    }

    // The address that counts is the last one: what a client makes up stands before it. Both proxies are trusted here, so
    // the first made-up one would count; with the proxy's own address as the client's it is the proxy's.
    let ask = async |made_up: &str| {
        let path = "/_matrix/client/v3/register/available?username=somebody";
        let request = client.get(format!("{through_nginx}{path}")).header("x-forwarded-for", made_up);
        request.send().await.unwrap().status().as_u16()
    };
    for expected in [200, 200, 429] {
        assert_eq!(ask("198.51.100.1, 192.0.2.1").await, expected, "who stands behind the trusted proxies");
    }
    assert_eq!(ask("198.51.100.1, 192.0.2.2").await, 200, "somebody else");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_figure_that_is_drawn_or_watched_exists() {
    let _turn = turn::shared().await;
    let port = port::free();
    let listen = format!("127.0.0.1:{port}");
    let quickstart =
        Quickstart::start_with(&[("ROOST_REGISTRATION__MODE", "open"), ("ROOST_METRICS__LISTEN", &listen)]).await;
    let alice = quickstart.server().user("alice").await;
    alice.public_room("a room").await;
    alice.sync().await;
    let scraped = reqwest::get(format!("http://{listen}/metrics")).await.unwrap().text().await.unwrap();
    let there = names(&scraped);

    let dashboard: Value = serde_json::from_str(&deployed("monitoring/dashboard.json")).expect("a dashboard in JSON");
    assert!(dashboard["panels"].as_array().is_some_and(|panels| panels.len() > 5));
    for file in ["monitoring/dashboard.json", "monitoring/alerts.yaml"] {
        let text = deployed(file);
        let used = names(&text);
        assert!(used.len() > 3, "{file}: {used:?}");
        let missing: Vec<_> = used.difference(&there).collect();
        assert!(missing.is_empty(), "{file} names figures that are not served: {missing:?}");
    }

    // The page that lists them is whole, and lists nothing else.
    let (page, families) = (deployed("monitoring/FIGURES.md"), families(&scraped));
    let listed: BTreeSet<&str> =
        page.split('`').filter(|word| families.contains(word) || word.starts_with("roost_")).collect();
    assert_eq!(listed, families);

    // systemd itself reads the units, where it is installed.
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/systemd");
    let units = ["roost.service", "roost-backup.service", "roost-backup.timer"].map(|name| folder.join(name));
    if let Ok(output) = Command::new("systemd-analyze").arg("verify").args(&units).output() {
        let said = String::from_utf8_lossy(&output.stderr);
        let about_them = |line: &&str| line.contains("roost") && !line.contains("not executable");
        let about_them: Vec<_> = said.lines().filter(about_them).collect();
        assert!(about_them.is_empty(), "{about_them:?}");
    }
}

/// The names of what is served, without what histograms add.
fn families(scraped: &str) -> BTreeSet<&str> {
    scraped.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect()
}

/// Every `roost_…` in a text.
fn names(text: &str) -> BTreeSet<&str> {
    let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let words = text.split(|c: char| !is_part(c));
    words.filter(|word| word.starts_with("roost_")).collect()
}
