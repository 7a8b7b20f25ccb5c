//! Requests that are no HTTP, or too much of it: always an answer, never a silent close.

use std::time::Duration;

use roost_tests::{shared, turn};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// What comes back for `bytes`.
async fn answer(base: &str, bytes: &[u8]) -> String {
    let address = base.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address).await.expect("connection");
    // The server may answer, and close, before it has read everything.
    drop(stream.write_all(bytes).await);
    drop(stream.shutdown().await);
    let mut got = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(40), async {
        let mut chunk = [0; 4096];
        while let Ok(n) = stream.read(&mut chunk).await {
            if n == 0 {
                break;
            }
            got.extend_from_slice(&chunk[..n]);
        }
    });
    read.await.expect("an answer or an end");
    String::from_utf8_lossy(&got).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_framing_gets_an_answer() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let long = "h".repeat(100_000);
    let many: String = (0..10_000).map(|n| format!("x-{n}: y\r\n")).collect();
    let cases: [(&str, String, &[&str]); 9] = [
        ("no HTTP", "nonsense\r\n\r\n".into(), &["400"]),
        ("a header without a colon", "GET /health/live HTTP/1.1\r\nhost: a\r\nnonsense\r\n\r\n".into(), &["400"]),
        (
            "a bad length",
            "POST /_matrix/client/v3/login HTTP/1.1\r\nhost: a\r\ncontent-length: x\r\n\r\n{}".into(),
            &["400"],
        ),
        (
            "two lengths",
            "POST /_matrix/client/v3/login HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}"
                .into(),
            &["400"],
        ),
        ("a header too large", format!("GET /health/live HTTP/1.1\r\nhost: a\r\nx: {long}\r\n\r\n"), &["431", "400"]),
        ("too many headers", format!("GET /health/live HTTP/1.1\r\nhost: a\r\n{many}\r\n"), &["431", "400"]),
        ("a long path", format!("GET /{long} HTTP/1.1\r\nhost: a\r\n\r\n"), &["414", "431", "400"]),
        (
            "a broken chunk",
            "POST /_matrix/client/v3/login HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n".into(),
            &["400"],
        ),
        (
            "a body cut off",
            "POST /_matrix/client/v3/login HTTP/1.1\r\nhost: a\r\ncontent-length: 50\r\n\r\n{}".into(),
            &["400"],
        ),
    ];
    for (case, bytes, statuses) in cases {
        let got = answer(server.base(), bytes.as_bytes()).await;
        let status = got.split(' ').nth(1).unwrap_or_default();
        assert!(statuses.contains(&status), "{case}: {got:?}");
        assert!(got.contains("\"errcode\""), "{case}: no error object in {got:?}");
    }
    assert_eq!(server.call("GET", "/health/ready", None, None).await.status, 200);
}
