//! Previews of pages on the web: what they show, where this server does not go, and what strangers' servers can't do to it.

use std::{
    collections::HashMap,
    fs,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::future::join_all;
use roost_tests::{
    User,
    http::{Reply, seg, text},
    node::Node,
    postgres::Postgres,
    scratch, shared, turn,
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::media::{files, header, png, size};

/// The one address that the server may go to; the site answers at others, too.
const ALLOWED: &str = "127.0.0.2";

#[tokio::test(flavor = "multi_thread")]
async fn a_link_shows_what_its_page_says_and_leads_to_no_private_address() {
    let _turn = turn::shared().await;
    let site = Site::start().await;
    let (postgres, folder) = (Postgres::start().await, scratch::dir("media"));
    let path = folder.display();
    let media_keys = format!(
        "[media]\npath = \"{path}\"\nuser_quota = 100\nurl_previews = true\nurl_preview_allow = [\"{ALLOWED}\"]\n"
    );
    let mut node = Node::start("previews", "localhost", &postgres.url(), None, &media_keys);
    node.ready(Duration::from_secs(60)).await;
    let alice = node.server().user("alice").await;
    let bob = node.server().user("bob").await;
    let ask = async |path: &str| preview(&alice, &site.at(ALLOWED, path)).await;
    // While the others go on: what comes a byte at a time is given up in the end.
    let slow = tokio::spawn({
        let (alice, url) = (alice.on(&alice.server), site.at(ALLOWED, "/drip"));
        async move { preview(&alice, &url).await }
    });

    // All who ask at once, and later, get what was fetched once.
    let url = site.at(ALLOWED, "/film");
    let all = join_all((0..10).map(|n| preview(if n % 2 == 0 { &alice } else { &bob }, &url))).await;
    let film = all[0].body.clone();
    assert!(all.iter().all(|reply| reply.status == 200 && reply.body == film), "{film}");
    let rock = png(279, 129);
    let shown = json!({
        "og:title": "The Rock", "og:type": "video.movie", "og:description": "Alcatraz & all that",
        "og:url": "http://films.example/rock", "og:image": film["og:image"], "og:image:type": "image/png",
        "og:image:width": 279, "og:image:height": 129, "matrix:image:size": rock.len(),
    });
    assert_eq!(film, shown);
    assert_eq!((site.hits("/film"), site.hits("/rock.png")), (1, 1));
    for head in site.heads("/film").into_iter().chain(site.heads("/rock.png")) {
        assert!(!head.contains("cookie") && !head.contains("referer") && !head.contains("authorization"), "{head}");
        assert!(head.contains("accept-encoding: identity"), "{head}");
    }
    let older = format!("/_matrix/media/v3/preview_url?url={}&ts=1510610716656", seg(&format!("{url}#part")));
    assert_eq!(alice.server.call("GET", &older, Some(&alice.token), None).await.ok(), film);

    // The picture is a medium of this server, the same one wherever it is seen, and nobody's quota pays.
    let medium = text(&film["og:image"]).trim_start_matches("mxc://").to_owned();
    let picture = media(&bob, &format!("download/{medium}")).await;
    assert_eq!((picture.header("content-type"), &picture.bytes), ("image/png", &rock));
    assert_eq!(size(&media(&bob, &format!("thumbnail/{medium}?width=64&height=64&method=crop")).await.bytes), (64, 64));
    let direct = ask("/rock.png").await.ok();
    assert_eq!((&direct["og:image"], &direct["og:title"]), (&film["og:image"], &json!("rock.png")));

    let plain = ask("/plain").await.ok();
    assert_eq!(plain, json!({ "og:title": "Grüße", "og:description": "words" }));
    assert_eq!(ask("/hop").await.ok()["og:title"], "Grüße");
    assert_eq!(ask("/paper.pdf").await.ok(), json!({}));
    assert_eq!(ask("/zipped").await.ok(), json!({}));

    // No address but those that are allowed, whoever names it.
    let refused = [
        site.at("127.0.0.1", "/film"),
        site.at("localhost", "/film"),
        site.at("2130706433", "/film"),
        site.at("[::1]", "/film"),
        site.at("[::ffff:127.0.0.1]", "/film"),
        site.at(ALLOWED, "/away"),
        site.at(ALLOWED, "/home"),
        "http://169.254.169.254/latest/meta-data".to_owned(),
        "http://10.0.0.1/".to_owned(),
        "https://[fd00::1]/".to_owned(),
    ];
    for url in &refused {
        preview(&alice, url).await.is(403, "M_FORBIDDEN");
    }
    assert_eq!(site.hits("/film"), 1, "nobody knocked");
    for url in ["ftp://example.org/", "file:///etc/passwd", "/film", "film", "http://", ""] {
        preview(&alice, url).await.is(400, "M_INVALID_PARAM");
    }
    let path = "/_matrix/client/v1/media/preview_url";
    alice.server.call("GET", path, Some(&alice.token), None).await.is(400, "M_MISSING_PARAM");
    alice.server.call("GET", path, None, None).await.is(401, "M_MISSING_TOKEN");

    // Pages that would be too much.
    for page in ["/endless", "/large"] {
        assert_eq!(ask(page).await.ok(), json!({ "og:title": "A long story" }), "{page}");
    }
    for page in ["/bomb", "/heavy", "/drawn", "/inside"] {
        assert_eq!(ask(page).await.ok(), json!({ "og:title": "Without a picture" }), "{page}");
    }
    assert_eq!(ask("/bomb.png").await.ok(), json!({ "og:title": "bomb.png" }));
    ask("/loop").await.is(502, "M_UNKNOWN");
    ask("/script").await.is(502, "M_UNKNOWN");
    ask("/none").await.is(502, "M_UNKNOWN");
    preview(&alice, "http://no-such-host.invalid/").await.is(502, "M_UNKNOWN");
    // Not asked again at once, whoever asks.
    let hits = site.hits("/none");
    preview(&bob, &site.at(ALLOWED, "/none")).await.is(502, "M_UNKNOWN");
    assert_eq!(site.hits("/none"), hits);

    let slow = slow.await.expect("an answer");
    slow.is(504, "M_UNKNOWN");
    assert!(slow.took < Duration::from_secs(14), "{:?}", slow.took);
    // The marker, the picture and its thumbnail.
    assert_eq!(files(&folder), 3, "what was not kept is gone");

    // A picture whose file was lost, as it is where a backup was restored, comes back when it is seen again.
    let shown = async || (preview(&alice, &url).await.ok(), media(&alice, &format!("download/{medium}")).await.status);
    let entries = fs::read_dir(&folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    for lost in entries.filter(|path| path.is_dir() && !path.ends_with("incoming")) {
        fs::remove_dir_all(lost).expect("a folder");
    }
    node.terminate().await;
    node.up();
    node.ready(Duration::from_secs(60)).await;
    assert_eq!(media(&alice, &format!("download/{medium}")).await.status, 404);
    assert_eq!(shown().await, (film.clone(), 200));
    // What nobody saw for a week goes, and its file with it.
    assert_eq!(files(&folder), 2);
    let week =
        "with old as (update media set created_ts = created_ts - 604800000 returning id) select count(*) from old";
    assert_eq!(postgres.number(week).await, 1);
    node.terminate().await;
    node.up();
    node.ready(Duration::from_secs(60)).await;
    for attempt in 0.. {
        if files(&folder) == 1 {
            break;
        }
        assert!(attempt < 100, "the picture stays");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(shown().await, (film, 200));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_page_is_asked_for_unless_the_operator_wants_it() {
    let _turn = turn::shared().await;
    let site = Site::start().await;
    let alice = shared::server().await.user("alice").await;
    preview(&alice, &site.at(ALLOWED, "/film")).await.is(404, "M_UNRECOGNIZED");
    assert_eq!(site.hits("/film"), 0);
}

async fn preview(user: &User, url: &str) -> Reply {
    let path = format!("/_matrix/client/v1/media/preview_url?url={}", seg(url));
    user.server.call("GET", &path, Some(&user.token), None).await
}

async fn media(user: &User, path: &str) -> Reply {
    user.server.call("GET", &format!("/_matrix/client/v1/media/{path}"), Some(&user.token), None).await
}

/// A web site, some of whose pages mean no good.
#[derive(Clone)]
struct Site {
    port: u16,
    /// What was asked for each path.
    asked: Arc<Mutex<HashMap<String, Vec<String>>>>,
}

impl Site {
    async fn start() -> Self {
        let listener = TcpListener::bind(("0.0.0.0", 0)).await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let site = Self { port, asked: Arc::default() };
        let serving = site.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serving.clone().serve(stream));
            }
        });
        site
    }

    fn at(&self, host: &str, path: &str) -> String {
        format!("http://{host}:{}{path}", self.port)
    }

    fn heads(&self, path: &str) -> Vec<String> {
        self.asked.lock().expect("heads").get(path).cloned().unwrap_or_default()
    }

    fn hits(&self, path: &str) -> usize {
        self.heads(path).len()
    }

    /// One request. Whoever asks may leave at any time.
    async fn serve(self, mut stream: TcpStream) -> Option<()> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.ok()?);
        }
        let head = String::from_utf8_lossy(&head).to_lowercase();
        let path = head.split(' ').nth(1)?.to_owned();
        self.asked.lock().expect("heads").entry(path.clone()).or_default().push(head);

        let html = "text/html; charset=utf-8";
        let picture = |name: &str| format!("<title>Without a picture</title><meta property=og:image content='{name}'>");
        match path.as_str() {
            "/film" => send(stream, html, FILM.as_bytes()).await,
            "/rock.png" => send(stream, "image/png", &png(279, 129)).await,
            "/plain" => {
                let page = b"<title>Gr\xfc\xdfe</title><meta name=description content=words>";
                send(stream, "text/html; charset=iso-8859-1", page).await
            }
            "/paper.pdf" => send(stream, "application/pdf", b"%PDF-1.7 <title>no</title>").await,
            "/zipped" => send(stream, "text/html\r\ncontent-encoding: gzip", &[0x1f, 0x8b, 8, 0]).await,
            "/hop" => redirect(stream, "plain").await,
            "/loop" => redirect(stream, "/loop").await,
            "/script" => redirect(stream, "javascript:alert(1)").await,
            "/home" => redirect(stream, &self.at("127.0.0.1", "/film")).await,
            "/away" => redirect(stream, &self.at("localhost", "/film")).await,
            "/large" => send(stream, html, &long_story(3 << 20)).await,
            "/endless" => {
                begin(&mut stream, html).await?;
                let chunk = long_story(64 << 10);
                loop {
                    stream.write_all(&chunk).await.ok()?;
                }
            }
            "/drip" => {
                begin(&mut stream, html).await?;
                loop {
                    stream.write_all(b"<p>").await.ok()?;
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            }
            "/bomb" => send(stream, html, picture("bomb.png").as_bytes()).await,
            "/bomb.png" => {
                let mut bomb = png(1, 1);
                header(&mut bomb, 60_000, 60_000);
                send(stream, "image/png", &bomb).await
            }
            "/heavy" => send(stream, html, picture("/heavy.png").as_bytes()).await,
            "/heavy.png" => send(stream, "image/png", &png(4_000, 3_000)).await,
            "/drawn" => send(stream, html, picture("/drawn.svg").as_bytes()).await,
            "/drawn.svg" => send(stream, "image/svg+xml", b"<svg xmlns='http://www.w3.org/2000/svg'/>").await,
            // A picture in the operator's own network.
            "/inside" => send(stream, html, picture(&self.at("127.0.0.1", "/rock.png")).as_bytes()).await,
            _ => stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").await.ok(),
        }
    }
}

const FILM: &str = r#"
<!doctype html>
<html prefix="og: http://ogp.me/ns#">
<head>
<title>The Rock (1996)</title>
<meta property="og:title" content="The Rock" />
<meta property="og:type" content="video.movie" />
<meta property="og:url" content="http://films.example/rock" />
<meta property="og:image" content="rock.png" />
<meta property="og:image:width" content="1" />
<meta name="description" content="Alcatraz &amp; all that" />
</head>
<body></body>
</html>
"#;

fn long_story(length: usize) -> Vec<u8> {
    let mut page = b"<title>A long story</title>".to_vec();
    page.resize(length, b'.');
    page
}

async fn begin(stream: &mut TcpStream, kind: &str) -> Option<()> {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\nset-cookie: a=b\r\nconnection: close\r\n");
    stream.write_all(head.as_bytes()).await.ok()?;
    stream.write_all(b"\r\n").await.ok()
}

async fn send(mut stream: TcpStream, kind: &str, bytes: &[u8]) -> Option<()> {
    begin(&mut stream, kind).await?;
    stream.write_all(bytes).await.ok()?;
    stream.shutdown().await.ok()
}

async fn redirect(mut stream: TcpStream, to: &str) -> Option<()> {
    let head = format!("HTTP/1.1 302 Found\r\nlocation: {to}\r\nset-cookie: a=b\r\ncontent-length: 0\r\n\r\n");
    stream.write_all(head.as_bytes()).await.ok()
}
