//! Uploads, downloads and thumbnails, over nodes that share one folder.

use std::{fs, path::Path, time::Duration};

use roost_tests::{
    Server, User,
    http::{Reply, text},
    nats::Nats,
    node::Node,
    postgres::Postgres,
    scratch, turn,
};
use serde_json::json;
use tokio::{io::AsyncWriteExt, net::TcpStream};

/// Two nodes over one folder, of which the second serves everybody, and a third that has a folder of its own.
struct Nodes {
    first: Node,
    second: Node,
    lonely: Node,
    folder: std::path::PathBuf,
    _nats: Nats,
    _postgres: Postgres,
}

async fn nodes() -> Nodes {
    let (postgres, nats, folder) = (Postgres::start().await, Nats::start().await, scratch::dir("media"));
    let start = |name: &str, more: &str| {
        Node::start(name, "localhost", &postgres.url(), Some(&nats.url()), &format!("[media]\n{more}"))
    };
    let shared = format!("path = \"{}\"\nmax_upload_size = \"1M\"\nuser_quota = \"3M\"\n", folder.display());
    let mut first = start("media1", &shared);
    first.ready(Duration::from_secs(60)).await;
    let mut second = start("media2", &format!("{shared}serve_unauthenticated = true\n"));
    let lonely = start("media3", "");
    second.ready(Duration::from_secs(60)).await;
    for _ in 0..600 {
        if lonely.server().try_call("GET", "/health/live", None, None).await.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Nodes { first, second, lonely, folder, _nats: nats, _postgres: postgres }
}

async fn upload(user: &User, query: &str, kind: &str, bytes: &[u8]) -> Reply {
    let path = format!("/_matrix/media/v3/upload{query}");
    user.server.try_bytes("POST", &path, Some(&user.token), Some((kind, bytes.to_vec()))).await.expect("an answer")
}

/// The medium's server and ID, as they stand in a path.
async fn uploaded(user: &User, query: &str, kind: &str, bytes: &[u8]) -> String {
    let uri = text(&upload(user, query, kind, bytes).await.ok()["content_uri"]);
    uri.strip_prefix("mxc://").expect("an mxc:// URI").to_owned()
}

async fn get(server: &Server, token: Option<&str>, path: &str, headers: &[(&str, &str)]) -> Reply {
    server.try_with("GET", path, token, headers, None).await.expect("an answer")
}

async fn download(user: &User, medium: &str, headers: &[(&str, &str)]) -> Reply {
    get(&user.server, Some(&user.token), &format!("/_matrix/client/v1/media/download/{medium}"), headers).await
}

async fn thumbnail(user: &User, medium: &str, query: &str) -> Reply {
    get(&user.server, Some(&user.token), &format!("/_matrix/client/v1/media/thumbnail/{medium}?{query}"), &[]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn files_come_back_whole_and_in_parts_and_no_browser_runs_them() {
    let _turn = turn::shared().await;
    let nodes = nodes().await;
    let alice = nodes.first.server().user("alice").await;
    let bob = alice.on(&nodes.second.server());
    let bytes: Vec<u8> = (0..200_000_u32).map(|n| (n % 251) as u8).collect();
    let medium = uploaded(&alice, "?filename=gr%C3%BC%C3%9Fe%3B.txt", "text/plain; charset=utf-8", &bytes).await;

    // Another node has it at once: they share their folder.
    let whole = download(&bob, &medium, &[]).await;
    assert_eq!((whole.status, whole.bytes.len()), (200, bytes.len()));
    assert_eq!(whole.bytes, bytes);
    assert_eq!(whole.header("content-type"), "text/plain; charset=utf-8");
    assert_eq!(whole.header("content-disposition"), "inline; filename*=utf-8''gr%C3%BC%C3%9Fe%3B.txt");
    assert!(whole.header("content-security-policy").starts_with("sandbox; default-src 'none'"));
    assert_eq!(whole.header("cross-origin-resource-policy"), "cross-origin");
    assert_eq!(whole.header("x-content-type-options"), "nosniff");

    let part = download(&bob, &medium, &[("range", "bytes=100-199")]).await;
    assert_eq!((part.status, part.header("content-range")), (206, "bytes 100-199/200000"));
    assert_eq!(part.bytes, bytes[100..200]);
    let end = download(&bob, &medium, &[("range", "bytes=-7")]).await;
    assert_eq!((end.status, &end.bytes[..]), (206, &bytes[199_993..]));
    let beyond = download(&bob, &medium, &[("range", "bytes=200000-")]).await;
    beyond.is(416, "M_UNKNOWN");
    assert_eq!(beyond.header("content-range"), "bytes */200000");
    let known = download(&bob, &medium, &[("if-none-match", whole.header("etag"))]).await;
    assert_eq!((known.status, known.bytes.len()), (304, 0));

    // Another name, asked for in the path; and what a browser would run is never shown inline.
    let renamed = download(&alice, &format!("{medium}/other.txt"), &[]).await;
    assert_eq!(renamed.header("content-disposition"), "inline; filename=other.txt");
    let page = uploaded(&alice, "?filename=a.html", "text/html", b"<script>alert(1)</script>").await;
    assert_eq!(download(&alice, &page, &[]).await.header("content-disposition"), "attachment; filename=a.html");
    let nameless = uploaded(&alice, "", "text/plain", b"Hello").await;
    assert_eq!(download(&alice, &nameless, &[]).await.header("content-disposition"), "inline");

    // Without a token: not from the node that keeps to the freeze.
    let older = format!("/_matrix/media/v3/download/{medium}");
    get(&alice.server, None, &older, &[]).await.is(404, "M_NOT_FOUND");
    get(&alice.server, None, &format!("/_matrix/client/v1/media/download/{medium}"), &[])
        .await
        .is(401, "M_MISSING_TOKEN");
    assert_eq!(get(&bob.server, None, &older, &[]).await.bytes, bytes);

    download(&alice, "localhost/nothing", &[]).await.is(404, "M_NOT_FOUND");
    download(&alice, "elsewhere.example/something", &[]).await.is(404, "M_NOT_FOUND");
    download(&alice, "localhost/..%2F..%2Froost-media-id", &[]).await.is(404, "M_NOT_FOUND");

    // A node that shares its database and not its folder says so, is sent nothing and takes nothing.
    let log = |node: &Node| fs::read_to_string(node.log()).expect("a log");
    assert!(log(&nodes.lonely).contains("roost-media-id"), "{}", log(&nodes.lonely));
    assert!(!log(&nodes.second).contains("roost-media-id"), "{}", log(&nodes.second));
    let lonely = nodes.lonely.server();
    let ready = lonely.call("GET", "/health/ready", None, None).await;
    assert_eq!((ready.status, &ready.body["database"]), (503, &json!("up")), "{}", ready.text());
    assert!(ready.body["reason"].as_str().is_some_and(|it| it.contains("media folder")), "{}", ready.text());
    upload(&alice.on(&lonely), "", "text/plain", b"here alone").await.is(503, "M_UNKNOWN");

    // Nor does one whose folder is gone, as one that is not mounted any more, for as long as it is.
    let away = nodes.folder.with_extension("away");
    fs::rename(&nodes.folder, &away).expect("a folder");
    readiness(&nodes.first.server(), 503).await;
    upload(&alice, "", "text/plain", b"nowhere").await.is(503, "M_UNKNOWN");
    fs::rename(&away, &nodes.folder).expect("a folder");
    readiness(&nodes.first.server(), 200).await;
    let lost = uploaded(&alice, "", "text/plain", b"to be lost").await;

    // A file that is lost is the operator's matter: the client finds nothing, and the log says what is missing.
    let id = lost.split('/').nth(1).expect("an ID");
    fs::remove_file(nodes.folder.join(&id[..2]).join(&id[2..4]).join(id)).expect("a file");
    download(&alice, &lost, &[]).await.is(404, "M_NOT_FOUND");
    let said = log(&nodes.first);
    assert!(said.lines().any(|line| line.contains("ERROR") && line.contains(id)), "{said}");
}

/// Waits until the node's readiness is this.
async fn readiness(server: &Server, status: u16) {
    for _ in 0..150 {
        if server.call("GET", "/health/ready", None, None).await.status == status {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("readiness is not {status}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_may_come_later_and_only_once() {
    let _turn = turn::shared().await;
    let nodes = nodes().await;
    let alice = nodes.first.server().user("alice").await;
    let mallory = nodes.first.server().user("mallory").await;
    let reserve = async || alice.server.call("POST", "/_matrix/media/v1/create", Some(&alice.token), None).await;
    let reserved = reserve().await.ok();
    assert!(reserved["unused_expires_at"].is_u64(), "{reserved}");
    let medium = text(&reserved["content_uri"]).strip_prefix("mxc://").expect("an mxc:// URI").to_owned();
    let put = async |user: &User, medium: &str, bytes: &[u8]| {
        let path = format!("/_matrix/media/v3/upload/{medium}?filename=late.txt");
        let body = Some(("text/plain", bytes.to_vec()));
        user.server.try_bytes("PUT", &path, Some(&user.token), body).await.expect("an answer")
    };

    let early = download(&alice, &format!("{medium}?timeout_ms=50"), &[]).await;
    early.is(504, "M_NOT_YET_UPLOADED");
    put(&mallory, &medium, b"not mine").await.is(403, "M_FORBIDDEN");
    put(&alice, "localhost/nobodyGaveThisOut", b"?").await.is(404, "M_NOT_FOUND");

    // One waits on this node and one on the other; both hear of it.
    let waits = async |server: Server| {
        let who = alice.on(&server);
        download(&who, &medium, &[]).await
    };
    let upload = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        put(&alice, &medium, b"worth waiting for").await
    };
    let (here, there, put_answer) = tokio::join!(waits(nodes.first.server()), waits(nodes.second.server()), upload);
    let _ = put_answer.ok();
    for reply in [&here, &there] {
        assert_eq!((reply.status, &reply.bytes[..]), (200, &b"worth waiting for"[..]), "{}", reply.text());
    }
    assert!(here.took < Duration::from_millis(1200), "woken, not asked for: {:?}", here.took);
    put(&alice, &medium, b"again").await.is(409, "M_CANNOT_OVERWRITE_MEDIA");

    // Of two uploads to one ID at the same time one stands, whole.
    let medium = text(&reserve().await.ok()["content_uri"]).split_off("mxc://".len());
    let (one, two) = tokio::join!(put(&alice, &medium, b"one"), put(&alice, &medium, b"two"));
    assert_eq!(one.status + two.status, 200 + 409, "{} {}", one.text(), two.text());
    let kept = download(&alice, &medium, &[]).await.bytes;
    assert_eq!(kept, if one.status == 200 { b"one" } else { b"two" });

    let mut last = reserve().await;
    for _ in 0..60 {
        last = reserve().await;
    }
    last.is(429, "M_LIMIT_EXCEEDED");
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_keep_to_their_limits_and_leave_nothing_behind() {
    let _turn = turn::shared().await;
    let nodes = nodes().await;
    let alice = nodes.first.server().user("alice").await;
    let limit = alice.server.call("GET", "/_matrix/client/v1/media/config", Some(&alice.token), None).await.ok();
    assert_eq!(limit["m.upload.size"], 1 << 20);
    upload(&alice, "", "text/plain", &vec![b'x'; (1 << 20) + 1]).await.is(413, "M_TOO_LARGE");

    // A connection that ends in the middle of an upload.
    let host = alice.server.base().strip_prefix("http://").expect("an address").to_owned();
    let mut socket = TcpStream::connect(&host).await.expect("a connection");
    let head = format!(
        "POST /_matrix/media/v3/upload HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {}\r\nContent-Length: 5000\r\n\r\nhalf",
        alice.token
    );
    socket.write_all(head.as_bytes()).await.expect("a written head");
    tokio::time::sleep(Duration::from_millis(300)).await;
    drop(socket);

    for _ in 0..3 {
        let _ = uploaded(&alice, "", "application/octet-stream", &vec![7; 1_000_000]).await;
    }
    upload(&alice, "", "text/plain", &vec![b'x'; 500_000]).await.is(403, "M_FORBIDDEN");
    let bob = nodes.first.server().user("bob").await;
    let _ = uploaded(&bob, "", "text/plain", b"another user").await;

    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(files(&nodes.folder.join("incoming")), 0, "broken uploads leave nothing");
    // The marker, and what was taken.
    assert_eq!(files(&nodes.folder), 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_holds_however_many_uploads_end_at_once() {
    let _turn = turn::shared().await;
    let nodes = nodes().await;
    let alice = nodes.first.server().user("alice").await;
    let everywhere = [alice.on(&nodes.first.server()), alice.on(&nodes.second.server())];
    let reserved = alice.server.call("POST", "/_matrix/media/v1/create", Some(&alice.token), None).await.ok();
    let reserved = text(&reserved["content_uri"]).split_off("mxc://".len());

    // Three of them fit, on whichever node they end.
    let bytes = vec![7; 900_000];
    let all = futures::future::join_all((0..20).map(|n| upload(&everywhere[n % 2], "", "text/plain", &bytes))).await;
    let (taken, refused): (Vec<_>, Vec<_>) = all.iter().partition(|reply| reply.status == 200);
    refused.iter().for_each(|reply| reply.is(403, "M_FORBIDDEN"));
    assert_eq!((taken.len(), refused.len()), (3, 17));
    let late = Some(("text/plain", bytes));
    let path = format!("/_matrix/media/v3/upload/{reserved}");
    alice.server.try_bytes("PUT", &path, Some(&alice.token), late).await.expect("an answer").is(403, "M_FORBIDDEN");
    // What was refused is gone, and what fits is taken.
    assert_eq!(files(&nodes.folder), 1 + 3);
    let small = Some(("text/plain", b"small".to_vec()));
    let _ = alice.server.try_bytes("PUT", &path, Some(&alice.token), small).await.expect("an answer").ok();
}

pub(crate) fn files(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.map(|path| if path.is_dir() { files(&path) } else { 1 }).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_are_made_smaller_and_hostile_ones_fail() {
    let _turn = turn::shared().await;
    let nodes = nodes().await;
    let alice = nodes.first.server().user("alice").await;
    let picture = uploaded(&alice, "", "image/png", &png(400, 200)).await;

    let crop = thumbnail(&alice, &picture, "width=96&height=96&method=crop").await;
    assert_eq!((crop.status, crop.header("content-type")), (200, "image/png"), "{}", crop.text());
    assert_eq!(crop.header("content-disposition"), "inline");
    assert_eq!(size(&crop.bytes), (96, 96));
    let scale = thumbnail(&alice, &picture, "width=300&height=200&animated=true").await;
    assert_eq!(size(&scale.bytes), (320, 160));
    // Kept: the other node gives the same bytes, under the same tag.
    let again = thumbnail(&alice.on(&nodes.second.server()), &picture, "width=96&height=96&method=crop").await;
    assert_eq!((again.header("etag"), &again.bytes), (crop.header("etag"), &crop.bytes));
    // Nothing is made larger.
    assert_eq!(size(&thumbnail(&alice, &picture, "width=800&height=600").await.bytes), (400, 200));
    // Many at once: made once, given to all.
    let all = (0..20).map(|_| thumbnail(&alice, &picture, "width=60&height=60&method=crop"));
    assert!(futures::future::join_all(all).await.iter().all(|reply| size(&reply.bytes) == (64, 64)));

    for query in ["width=0&height=96", "width=96", "width=-1&height=5", "width=96&height=96&method=stretch"] {
        let reply = thumbnail(&alice, &picture, query).await;
        assert_eq!(reply.status, 400, "{query}: {}", reply.text());
    }
    let mut bomb = png(1, 1);
    header(&mut bomb, 60_000, 60_000);
    let cut = png(400, 200)[..700].to_vec();
    for (what, bytes, status) in [
        ("a bomb", bomb, 413),
        ("a picture cut off", cut, 400),
        ("a text", b"hello".to_vec(), 400),
        ("nothing", Vec::new(), 400),
        ("half a GIF", b"GIF89a\xff\xff\xff\xff\x80".to_vec(), 400),
        ("half a JPEG", b"\xff\xd8\xff\xe0\0\x10JFIF".to_vec(), 400),
        ("half a WebP", b"RIFF\xff\xff\xff\x7fWEBPVP8 ".to_vec(), 400),
        ("a drawing", b"<svg xmlns='http://www.w3.org/2000/svg'/>".to_vec(), 400),
    ] {
        let medium = uploaded(&alice, "", "image/png", &bytes).await;
        let reply = thumbnail(&alice, &medium, "width=32&height=32&method=crop").await;
        assert_eq!(reply.status, status, "{what}: {}", reply.text());
        reply.is(status, if status == 413 { "M_TOO_LARGE" } else { "M_UNKNOWN" });
    }
    // The server is none the worse.
    assert_eq!(size(&thumbnail(&alice, &picture, "width=32&height=32&method=crop").await.bytes), (32, 32));
}

/// A grey PNG, not compressed.
pub(crate) fn png(width: u32, height: u32) -> Vec<u8> {
    let mut rows = Vec::new();
    for y in 0..height {
        rows.push(0);
        rows.extend((0..width).map(|x| ((x + y) % 256) as u8));
    }
    let mut data = vec![0x78, 0x01];
    let blocks: Vec<&[u8]> = rows.chunks(65_535).collect();
    for (at, block) in blocks.iter().enumerate() {
        let length = block.len() as u16;
        data.push(u8::from(at + 1 == blocks.len()));
        data.extend(length.to_le_bytes());
        data.extend((!length).to_le_bytes());
        data.extend(*block);
    }
    let (mut a, mut b) = (1_u32, 0_u32);
    for byte in &rows {
        a = (a + u32::from(*byte)) % 65_521;
        b = (b + a) % 65_521;
    }
    data.extend((b << 16 | a).to_be_bytes());
    let mut out = b"\x89PNG\r\n\x1a\n".to_vec();
    chunk(&mut out, b"IHDR", &[&[0; 8][..], &[8, 0, 0, 0, 0]].concat());
    chunk(&mut out, b"IDAT", &data);
    chunk(&mut out, b"IEND", &[]);
    header(&mut out, width, height);
    out
}

/// Writes another size into a PNG's header.
pub(crate) fn header(png: &mut [u8], width: u32, height: u32) {
    png[16..20].copy_from_slice(&width.to_be_bytes());
    png[20..24].copy_from_slice(&height.to_be_bytes());
    let sum = crc(&png[12..29]);
    png[29..33].copy_from_slice(&sum.to_be_bytes());
}

fn chunk(out: &mut Vec<u8>, kind: &[u8], data: &[u8]) {
    out.extend((data.len() as u32).to_be_bytes());
    let begin = out.len();
    out.extend(kind);
    out.extend(data);
    let sum = crc(&out[begin..]);
    out.extend(sum.to_be_bytes());
}

fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| if sum & 1 == 1 { sum >> 1 ^ 0xEDB8_8320 } else { sum >> 1 })
    })
}

/// The size that a PNG's header names.
pub(crate) fn size(png: &[u8]) -> (u32, u32) {
    assert!(png.len() > 24 && png.starts_with(b"\x89PNG"), "no PNG: {}", String::from_utf8_lossy(png));
    let number = |at: usize| u32::from_be_bytes([png[at], png[at + 1], png[at + 2], png[at + 3]]);
    (number(16), number(20))
}
