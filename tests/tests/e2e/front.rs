//! What stands before every handler: other origins, compression, limits, TLS, where a server is found.

use std::{fs, io::Read as _, path::Path, time::Duration};

use reqwest::{Certificate, Client, RequestBuilder, Version, tls::TlsInfo};
use roost_tests::{Quickstart, Server, http::Reply, port, scratch, shared, turn, user::at};
use serde_json::{Value, json};

const OPEN: (&str, &str) = ("ROOST_REGISTRATION__MODE", "open");
const PREVIEW: &str = "/_matrix/client/v1/media/preview_url?url=http%3A%2F%2Fexample.org";
const UNLIMITED: (&str, &str) = ("ROOST_RATE_LIMITS__ENABLED", "false");

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_origin_reads_every_answer_and_large_ones_come_compressed() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let alice = server.user("alice").await;
    let http = Client::builder().no_proxy().build().unwrap();
    let url = |path: &str| format!("{}{path}", server.base());

    let paths = [
        "/_matrix/client/v3/sync",
        "/_matrix/client/v3/nothing/here",
        "/_matrix/client/v1/media/download/localhost/none",
        "/_matrix/media/v3/upload",
        "/_matrix/nothing",
        "/.well-known/matrix/client",
    ];
    for path in paths {
        let preflight = http
            .request(reqwest::Method::OPTIONS, url(path))
            .header("origin", "https://app.example")
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization,content-type")
            .send()
            .await
            .unwrap();
        assert_eq!(preflight.status(), 204, "{path}");
        let allowed = |name: &str| preflight.headers()[name].to_str().unwrap().to_ascii_lowercase();
        assert_eq!(allowed("access-control-allow-origin"), "*", "{path}");
        assert!(allowed("access-control-allow-headers").contains("authorization"), "{path}");
        assert!(allowed("access-control-allow-methods").contains("put"), "{path}");
        // Whatever the answer is: an error, an unknown route, a wrong method.
        for method in ["GET", "POST", "DELETE"] {
            let answer = server.call(method, path, None, None).await;
            assert_eq!(answer.header("access-control-allow-origin"), "*", "{method} {path}: {}", answer.status);
        }
    }
    let long = server.call("GET", &format!("/_matrix/client/v3/{}", "x".repeat(20_000)), None, None).await;
    assert_eq!((long.status, long.header("access-control-allow-origin")), (431, "*"), "even what is no request");

    let room = alice.public_room("a room").await;
    for n in 0..20 {
        alice.say(&room, &format!("message {n}: {}", "all work and no play ".repeat(5))).await;
    }
    let history = format!("/_matrix/client/v3/{}", at(&room, "messages?dir=b&limit=100"));
    let ask = |path: &str, accept: &str| -> RequestBuilder {
        http.get(url(path)).bearer_auth(&alice.token).header("accept-encoding", accept)
    };
    let plain = ask(&history, "identity").send().await.unwrap();
    assert!(plain.headers().get("content-encoding").is_none());
    let plain = plain.bytes().await.unwrap();
    for (accept, encoding) in [("gzip", "gzip"), ("br", "br"), ("zstd", "zstd"), ("gzip, deflate, br, zstd", "zstd")] {
        let answer = ask(&history, accept).send().await.unwrap();
        let header = |name: &str| answer.headers()[name].to_str().unwrap().to_owned();
        assert_eq!((header("content-encoding").as_str(), header("vary").as_str()), (encoding, "accept-encoding"));
        assert_eq!(header("access-control-allow-origin"), "*");
        let bytes = answer.bytes().await.unwrap();
        assert!(bytes.len() * 4 < plain.len(), "{encoding}: {} of {}", bytes.len(), plain.len());
        assert_eq!(ages_apart(&decoded(encoding, &bytes)), ages_apart(&plain), "{encoding}");
    }
    let small = ask("/_matrix/client/v3/account/whoami", "gzip").send().await.unwrap();
    assert!(small.headers().get("content-encoding").is_none(), "a small answer stays as it is");

    let picture = Some(("image/png", b"\x89PNG\r\n\x1a\n".repeat(1000)));
    let uploaded =
        server.try_bytes("POST", "/_matrix/media/v3/upload", Some(&alice.token), picture).await.unwrap().ok();
    let mxc = uploaded["content_uri"].as_str().unwrap().trim_start_matches("mxc://").to_owned();
    let download = ask(&format!("/_matrix/client/v1/media/download/{mxc}"), "gzip, br, zstd").send().await.unwrap();
    assert_eq!(download.status(), 200);
    assert!(download.headers().get("content-encoding").is_none(), "media is compressed already");
    assert_eq!(download.headers()["access-control-allow-origin"], "*");
}

fn decoded(encoding: &str, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    match encoding {
        "gzip" => drop(flate2::read::GzDecoder::new(bytes).read_to_end(&mut out).unwrap()),
        "br" => drop(brotli::Decompressor::new(bytes, 4096).read_to_end(&mut out).unwrap()),
        _ => out = zstd::decode_all(bytes).unwrap(),
    }
    out
}

/// A history without what differs between two moments.
fn ages_apart(bytes: &[u8]) -> Value {
    let mut value: Value = serde_json::from_slice(bytes).unwrap();
    for event in value["chunk"].as_array_mut().unwrap() {
        event["unsigned"]["age"] = json!(0);
    }
    value
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_too_much_is_told_when_to_come_back() {
    let _turn = turn::shared().await;
    let quickstart = Quickstart::start_with(&[
        OPEN,
        ("ROOST_HTTP__TRUSTED_PROXIES", r#"["127.0.0.1"]"#),
        ("ROOST_RATE_LIMITS__MESSAGES", "3 + 2/s"),
        ("ROOST_RATE_LIMITS__WRONG_PASSWORD", "2 + 1/h"),
        ("ROOST_RATE_LIMITS__LOGIN", "4 + 1/h"),
        ("ROOST_RATE_LIMITS__REGISTRATION", "8 + 1/h"),
        ("ROOST_RATE_LIMITS__ROOMS", "2 + 1/h"),
        ("ROOST_RATE_LIMITS__INVITES", "off"),
        ("ROOST_RATE_LIMITS__PREVIEWS", "2 + 1/h"),
        ("ROOST_RATE_LIMITS__OPEN_DOWNLOADS", "3 + 1/h"),
    ])
    .await;
    let server = quickstart.server();
    let (alice, bob) = (server.user("alice").await, server.user("bob").await);
    let room = alice.public_room("a room").await;
    bob.join(&room).await;

    let say = json!({ "msgtype": "m.text", "body": "hello" });
    let mut refused = None;
    for n in 0..6 {
        let reply = alice.send_as(&room, "m.room.message", &format!("t{n}"), say.clone()).await;
        if reply.status != 200 {
            refused = Some((n, reply));
            break;
        }
    }
    let (n, reply) = refused.expect("a burst of three");
    assert!(n >= 3, "three at once are taken");
    let wait = limited(&reply);
    assert!(wait <= Duration::from_millis(500), "{wait:?}");
    bob.say(&room, "bob is not alice").await;
    tokio::time::sleep(wait).await;
    let _ = alice.send_as(&room, "m.room.message", "later", say).await.ok();
    for _ in 0..10 {
        let _ = alice.get(&at(&room, "state")).await.ok();
        let body = json!({ "user_id": bob.id });
        assert_ne!(alice.post(&at(&room, "invite"), body).await.status, 429, "no limit is no limit");
    }

    alice.public_room("a second room").await;
    limited(&alice.post("createRoom", json!({})).await);

    let preview = async || alice.server.call("GET", PREVIEW, Some(&alice.token), None).await;
    assert_eq!([preview().await.status, preview().await.status], [404, 404]);
    limited(&preview().await);

    // Without a token it is the address that counts, whatever is downloaded of whatever size.
    let open = async |address: &str, path: &str| {
        let path = format!("/_matrix/media/{path}");
        server.try_with("GET", &path, None, &[("x-forwarded-for", address)], None).await.unwrap()
    };
    for path in
        ["v3/download/localhost/a", "r0/download/localhost/a/b.png", "v1/thumbnail/localhost/a?width=9&height=9"]
    {
        open("198.51.100.1", path).await.is(404, "M_NOT_FOUND");
    }
    limited(&open("198.51.100.1", "v3/download/localhost/a").await);
    limited(&open("198.51.100.1", "v3/thumbnail/localhost/a?width=9&height=9").await);
    open("198.51.100.2", "v3/download/localhost/a").await.is(404, "M_NOT_FOUND");
    let with_token = "/_matrix/client/v1/media/download/localhost/a";
    let whoever = &[("x-forwarded-for", "198.51.100.1")];
    server.try_with("GET", with_token, Some(&bob.token), whoever, None).await.unwrap().is(404, "M_NOT_FOUND");

    // Wrong passwords count by account, wherever they come from; attempts count by address, whomever they name.
    let from = |address: &str, user: &str, password: &str| {
        let body = json!({ "type": "m.login.password", "password": password,
            "identifier": { "type": "m.id.user", "user": user } });
        let client = Client::builder().no_proxy().build().unwrap();
        let request = client.post(format!("{}/_matrix/client/v3/login", server.base()));
        request.header("x-forwarded-for", address).json(&body)
    };
    let status = async |request: RequestBuilder| request.send().await.unwrap().status().as_u16();
    for address in ["192.0.2.1", "192.0.2.2"] {
        assert_eq!(status(from(address, bob.localpart(), "wrong")).await, 403);
    }
    assert_eq!(status(from("192.0.2.3", bob.localpart(), &bob.password)).await, 429, "the account");
    for _ in 0..4 {
        assert_eq!(status(from("2001:db8::1", alice.localpart(), &alice.password)).await, 200);
    }
    assert_eq!(status(from("2001:db8::beef", alice.localpart(), &alice.password)).await, 429, "its network");
    assert_eq!(status(from("192.0.2.9", alice.localpart(), &alice.password)).await, 200, "another address");

    // Two accounts took four requests.
    for _ in 0..4 {
        let _ = server.call("POST", "register", None, Some(&json!({}))).await.unauthorized();
    }
    limited(&server.call("POST", "register", None, Some(&json!({}))).await);
}

/// 429 with both ways to say when; how long to wait.
#[track_caller]
fn limited(reply: &Reply) -> Duration {
    reply.is(429, "M_LIMIT_EXCEEDED");
    let wait = Duration::from_millis(reply.body["retry_after_ms"].as_u64().expect("retry_after_ms"));
    let seconds: u64 = reply.header("retry-after").parse().expect("Retry-After");
    assert!(wait > Duration::ZERO && Duration::from_secs(seconds) >= wait, "{wait:?} and {seconds} s");
    wait
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_stands_beside_plain_http_and_takes_a_new_certificate() {
    let _turn = turn::shared().await;
    let folder = scratch::dir("tls");
    let (certificate, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    let first = renew(&certificate, &key);
    let port = port::free();
    let quickstart = Quickstart::start_with(&[
        OPEN,
        UNLIMITED,
        ("ROOST_HTTP__TLS__LISTEN", &format!(r#"["127.0.0.1:{port}"]"#)),
        ("ROOST_HTTP__TLS__CERTIFICATE", &certificate.display().to_string()),
        ("ROOST_HTTP__TLS__KEY", &key.display().to_string()),
        ("ROOST_FEDERATION__DELEGATE", "matrix.example.org:443"),
    ])
    .await;
    let plain = quickstart.server();
    let alice = plain.user("alice").await;
    let served = plain.call("GET", "/.well-known/matrix/server", None, None).await.ok();
    assert_eq!(served["m.server"], "matrix.example.org:443");

    let url = format!("https://localhost:{port}/_matrix/client/v3/account/whoami");
    for (client, version) in [(trusting(&first, false), Version::HTTP_2), (trusting(&first, true), Version::HTTP_11)] {
        let answer = client.get(&url).bearer_auth(&alice.token).send().await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.version()), (200, version));
        assert_eq!(answer.json::<Value>().await.unwrap()["user_id"], alice.id.as_str());
    }
    // No TLS where TLS is spoken: the connection ends, and nothing else happens.
    assert!(Server::at(&format!("http://127.0.0.1:{port}")).try_call("GET", "/health/live", None, None).await.is_err());

    // A key that does not fit, as between the writing of two files, changes nothing.
    fs::write(&key, rcgen::KeyPair::generate().unwrap().serialize_pem()).unwrap();
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(presented(&url).await, der(&first));
    let second = renew(&certificate, &key);
    for attempt in 0.. {
        if presented(&url).await == der(&second) {
            break;
        }
        assert!(attempt < 50, "the new certificate is not served");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }

    // Without a delegate nothing is said; without federation other servers are turned away.
    let closed = Quickstart::start_with(&[OPEN, ("ROOST_FEDERATION__ENABLED", "false")]).await;
    let server = closed.server();
    server.call("GET", "/.well-known/matrix/server", None, None).await.is(404, "M_NOT_FOUND");
    for path in ["/_matrix/federation/v1/version", "/_matrix/key/v2/server", "/_matrix/federation/v1/publicRooms"] {
        server.call("GET", path, None, None).await.is(403, "M_FORBIDDEN");
    }
    let _ = server.call("GET", "/_matrix/client/versions", None, None).await.ok();
}

/// A new certificate for localhost, signed by itself, with its key; returns the certificate.
fn renew(certificate: &Path, key: &Path) -> String {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(certificate, made.cert.pem()).unwrap();
    fs::write(key, made.signing_key.serialize_pem()).unwrap();
    made.cert.pem()
}

fn trusting(pem: &str, http1: bool) -> Client {
    let root = Certificate::from_pem(pem.as_bytes()).unwrap();
    let builder = Client::builder().no_proxy().tls_certs_only([root]);
    if http1 { builder.http1_only() } else { builder }.build().unwrap()
}

/// What the server shows, whoever signed it.
async fn presented(url: &str) -> Vec<u8> {
    let client = Client::builder().no_proxy().tls_danger_accept_invalid_certs(true).tls_info(true).build().unwrap();
    let answer = client.get(url).send().await.unwrap();
    answer.extensions().get::<TlsInfo>().unwrap().peer_certificate().unwrap().to_vec()
}

fn der(pem: &str) -> Vec<u8> {
    use rustls::pki_types::{CertificateDer, pem::PemObject as _};
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap().to_vec()
}
