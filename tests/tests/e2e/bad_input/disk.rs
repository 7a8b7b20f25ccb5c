//! A full disk under the media, and uploads that are cut off: a clear error, and nothing half-stored.
//!
//! The media folder is a small file system in a mount namespace of the server's own, which ends with it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use roost_tests::{
    http::text,
    node::{Node, binary, plain, wait_ready},
    postgres::Postgres,
    process::Process,
    scratch, turn,
    user::User,
};

use super::framing::Raw;

/// Mounts, then becomes the server: `$0` is the program, `$1` its configuration, `$2` the folder.
const MOUNT: &str = "mount -t tmpfs -o size=1m,mode=755 tmpfs \"$2\" && exec \"$0\" serve --config \"$1\"";

/// How this user gets a mount namespace: root by itself, others in a user namespace of their own. Containers often forbid it.
fn namespace() -> Option<&'static [&'static str]> {
    let ways: [&[&str]; 2] = [&["--mount"], &["--user", "--map-root-user", "--mount"]];
    let works =
        |way: &&[&str]| Command::new("unshare").args(*way).arg("true").output().is_ok_and(|it| it.status.success());
    ways.into_iter().find(works)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_and_cut_off_uploads_leave_nothing() {
    let _turn = turn::shared().await;
    let namespace =
        namespace().expect("this test needs mount namespaces (unshare --mount), which this machine forbids");
    let postgres = Postgres::start().await;
    let media = scratch::dir("media");
    let more = format!("[media]\npath = \"{}\"\n", media.display());
    let mut node = Node::start("disk", "localhost", &postgres.url(), None, &more);
    node.kill();
    let mut command = plain(Path::new("unshare"));
    command.args(namespace).args(["sh", "-c", MOUNT]);
    command.arg(binary()).arg(node.config()).arg(&media);
    let mut process = Process::spawn("disk", command, &scratch::log("disk"));
    let server = node.server();
    wait_ready(server.base(), &mut process, Duration::from_secs(60)).await;
    // The server's own view of its folder.
    let inside = PathBuf::from(format!("/proc/{}/root{}", process.pid(), media.display()));
    let alice = server.user("alice").await;
    let rows = async || postgres.number("select count(*) from media").await;

    upload(&alice, vec![1; 3 << 20]).await.is(507, "M_UNKNOWN");
    assert_eq!((rows().await, files(&inside)), (0, 0), "nothing is half-stored");

    let small = upload(&alice, vec![2; 100_000]).await.ok();
    assert_eq!((rows().await, files(&inside)), (1, 1));
    let uri = text(&small["content_uri"]);
    let path = format!("/_matrix/client/v1/media/download/{}", uri.trim_start_matches("mxc://"));
    assert_eq!(alice.get(&path).await.bytes, vec![2; 100_000]);

    // One client says that it will send no more, the other is gone at once.
    for leaves_at_once in [false, true] {
        let mut raw = Raw::open(server.base()).await;
        let head = format!(
            "POST /_matrix/media/v3/upload HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {}\r\ncontent-length: 100000\r\n\r\n",
            alice.token
        );
        raw.write(head.as_bytes()).await;
        raw.write(&[3; 50_000]).await;
        if !leaves_at_once {
            raw.finish().await;
            let got = raw.read(Duration::from_secs(10)).await.expect("an answer");
            assert!(got.starts_with("HTTP/1.1 400 ") && got.contains("\"errcode\""), "{got}");
        }
        drop(raw);
        for _ in 0..100 {
            if files(&inside) == 1 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!((rows().await, files(&inside)), (1, 1), "a cut-off upload leaves nothing");
    }
}

async fn upload(user: &User, bytes: Vec<u8>) -> roost_tests::Reply {
    let body = Some(("application/octet-stream", bytes));
    let reply = user.server.try_bytes("POST", "/_matrix/media/v3/upload", Some(&user.token), body).await;
    reply.expect("an answer, also to what is not read to its end")
}

/// How many files lie in and below `folder`, apart from the one that marks it.
fn files(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let entries = entries.filter(|entry| entry.file_name() != "roost-media-id");
    entries.map(|entry| if entry.path().is_dir() { files(&entry.path()) } else { 1 }).sum()
}
