//! Requests that are no HTTP, or too much of it: always an answer, never a silent close.

use std::time::Duration;

use roost_tests::{shared, turn};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{sleep, timeout},
};

/// A connection on which a test writes what it likes.
pub struct Raw(TcpStream);

impl Raw {
    pub async fn open(base: &str) -> Self {
        Self(TcpStream::connect(base.trim_start_matches("http://")).await.expect("a connection"))
    }

    /// The server may answer, and close, before it has read everything.
    pub async fn write(&mut self, bytes: &[u8]) -> bool {
        self.0.write_all(bytes).await.is_ok()
    }

    /// No more will be sent.
    pub async fn finish(&mut self) {
        drop(self.0.shutdown().await);
    }

    /// What comes back until the server closes.
    pub async fn read(&mut self, patience: Duration) -> Result<String, String> {
        let mut got = Vec::new();
        match timeout(patience, self.0.read_to_end(&mut got)).await {
            Ok(Ok(_)) => Ok(String::from_utf8_lossy(&got).into_owned()),
            Ok(Err(error)) => Err(format!("{error} after {:?}", String::from_utf8_lossy(&got))),
            Err(_) => Err(format!("still open, after {:?}", String::from_utf8_lossy(&got))),
        }
    }
}

/// Why `got` is not exactly one answer with one of `statuses`, and an error object where it is an error.
fn complaint(got: &Result<String, String>, statuses: &[&str]) -> Option<String> {
    let text = match got {
        Ok(text) if text.is_empty() => return Some("a silent close".to_owned()),
        Ok(text) => text,
        Err(error) => return Some(error.clone()),
    };
    let status = text.split(' ').nth(1).unwrap_or_default();
    let (_, body) = text.split_once("\r\n\r\n").unwrap_or_default();
    let json: Value = serde_json::from_str(body).unwrap_or_default();
    let refused = status.starts_with('4');
    let explained = json["errcode"].is_string() && json["error"].as_str().is_some_and(|words| words.len() > 8);
    if !statuses.contains(&status) || text.matches("HTTP/1.").count() != 1 || (refused && !explained) {
        return Some(format!("expected {statuses:?}: {text:?}"));
    }
    None
}

/// A login with these headers, and this after them.
fn post(headers: &str, rest: &str) -> Vec<u8> {
    format!("POST /_matrix/client/v3/login HTTP/1.1\r\nhost: a\r\n{headers}\r\n{rest}").into_bytes()
}

/// A question whose answer ends the connection.
fn get(target: &str, headers: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{headers}\r\n").into_bytes()
}

fn cases() -> Vec<(&'static str, Vec<u8>, &'static [&'static str])> {
    const BAD: &[&str] = &["400"];
    const LARGE: &[&str] = &["431"];
    let long = "h".repeat(100_000);
    let many = |count: usize| (0..count).map(|n| format!("x-{n}: y\r\n")).collect::<String>();
    vec![
        ("no HTTP", b"nonsense\r\n\r\n".to_vec(), BAD),
        ("bytes", vec![0, 255, 13, 10, 13, 10], BAD),
        ("TLS", [&[22, 3, 1, 0, 200, 1][..], &[7; 200][..]].concat(), BAD),
        ("HTTP/0.9", b"GET /health/live\r\n\r\n".to_vec(), BAD),
        ("HTTP/3.7", b"GET /health/live HTTP/3.7\r\n\r\n".to_vec(), BAD),
        ("a space in the address", get("/health/live and more", ""), BAD),
        ("a header without a colon", get("/health/live", "nonsense\r\n"), BAD),
        ("a space before the colon", get("/health/live", "x : y\r\n"), BAD),
        ("a header with NUL", get("/health/live", "x: a\0b\r\n"), BAD),
        ("a length that is no number", post("content-length: x\r\n", "{}"), BAD),
        ("a negative length", post("content-length: -2\r\n", "{}"), BAD),
        ("a length beyond all numbers", post("content-length: 99999999999999999999999\r\n", "{}"), BAD),
        ("two lengths", post("content-length: 2\r\ncontent-length: 3\r\n", "{}"), BAD),
        ("an unknown encoding", post("transfer-encoding: nonsense\r\n", "{}"), BAD),
        (
            "a length and chunks",
            post("connection: close\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n", "2\r\n{}\r\n0\r\n\r\n"),
            BAD,
        ),
        ("a chunk of no size", post("transfer-encoding: chunked\r\n", "zz\r\n"), BAD),
        ("a chunk of any size", post("transfer-encoding: chunked\r\n", "fffffffffffffffffff\r\n{}"), BAD),
        ("a chunk cut off", post("transfer-encoding: chunked\r\n", "50\r\n{\"a\":"), BAD),
        ("chunks without an end", post("transfer-encoding: chunked\r\n", "2\r\n{}\r\n"), BAD),
        ("a body cut off", post("content-length: 50\r\n", "{}"), BAD),
        ("a body beyond all limits", post("content-length: 99999999999\r\n", "{}"), &["413"]),
        ("a head cut off", b"GET /health/live HTTP/1.1\r\nhost:".to_vec(), &["400", "408"]),
        ("a header too large", get("/health/live", &format!("x: {long}\r\n")), LARGE),
        ("10,000 headers", get("/health/live", &many(10_000)), LARGE),
        ("101 headers", get("/health/live", &many(101)), LARGE),
        ("a long address", get(&format!("/{long}"), ""), &["414", "431"]),
        ("an absolute address", get("http://elsewhere.example/health/live", ""), &["200"]),
        (
            "a tunnel",
            b"CONNECT elsewhere.example:443 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n".to_vec(),
            &["404", "405"],
        ),
        ("no method of ours", b"get /health/live HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n".to_vec(), &["405"]),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_framing_gets_an_answer() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let mut found = Vec::new();
    for (case, bytes, statuses) in cases() {
        let mut raw = Raw::open(server.base()).await;
        raw.write(&bytes).await;
        raw.finish().await;
        found.extend(complaint(&raw.read(Duration::from_secs(10)).await, statuses).map(|why| format!("{case}: {why}")));
    }
    assert!(found.is_empty(), "{} findings:\n{}", found.len(), found.join("\n"));
    assert_eq!(server.call("GET", "/health/ready", None, None).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_sends_all_before_it_reads_gets_its_answer() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let size = 32 << 20;
    let mut raw = Raw::open(server.base()).await;
    raw.write(&post(&format!("content-length: {size}\r\n"), "")).await;
    let chunk = vec![b' '; 1 << 20];
    for _ in 0..size >> 20 {
        assert!(raw.write(&chunk).await, "cut while it was sending");
    }
    let got = raw.read(Duration::from_secs(10)).await;
    assert_eq!(complaint(&got, &["413"]), None);
    let text = got.unwrap_or_default().to_lowercase();
    assert!(text.contains("connection: close"), "nothing more is to be sent on this connection: {text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_client_is_answered_in_the_end() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let slow = async |begin: Vec<u8>| {
        let mut raw = Raw::open(server.base()).await;
        raw.write(&begin).await;
        // A byte now and then does not hold a connection for good.
        for _ in 0..8 {
            sleep(Duration::from_secs(7)).await;
            raw.write(b"x").await;
        }
        raw.read(Duration::from_secs(20)).await
    };
    let mut preface = Raw::open(server.base()).await;
    preface.write(b"PRI * ").await;
    let preface = async {
        sleep(Duration::from_secs(2)).await;
        preface.write(b"HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
        preface.read(Duration::from_secs(20)).await
    };
    let (head, body, preface) = tokio::join!(
        slow(b"GET /health/live HTTP/1.1\r\nx: ".to_vec()),
        slow(post("content-length: 99\r\n", "{")),
        preface
    );
    assert_eq!(complaint(&head, &["408"]), None, "a slow head");
    assert_eq!(complaint(&body, &["408"]), None, "a slow body");
    assert_eq!(complaint(&preface, &["400"]), None, "HTTP/2 that comes too slowly");
}
