//! A real client: the Matrix Rust SDK chats, encrypted, over `/sync` and over sliding sync.
//!
//! Two users, four devices. What counts is what the clients could read: lists of plaintexts are compared, and an
//! empty list fails.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use roost_tests::{
    client::{Account, Client, SOON, trusts, verify},
    driver::{Driver, MATRIX_SDK, MATRIX_SDK_SLIDING, Program},
    http::text,
    shared, turn,
};
use serde_json::{Value, json};

/// A small PNG with some bytes of its own behind it.
fn picture(folder: &Path) -> (PathBuf, Vec<u8>) {
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89".to_vec();
    bytes.extend((0..40_000_u32).map(|n| u8::try_from(n.wrapping_mul(2_654_435_761) >> 24).unwrap_or_default()));
    let path = folder.join("nest.png");
    fs::write(&path, &bytes).expect("a picture");
    (path, bytes)
}

#[tokio::test(flavor = "multi_thread")]
async fn two_users_on_four_devices_chat_encrypted() {
    let _turn = turn::alone().await;
    chat(MATRIX_SDK, 500).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_users_on_four_devices_chat_encrypted_over_sliding_sync() {
    let _turn = turn::alone().await;
    chat(MATRIX_SDK_SLIDING, 120).await;
}

/// The whole story, with so many messages in the main conversation, both ways together.
async fn chat(program: Program, messages: usize) {
    let server = shared::server().await;
    let base = server.base().to_owned();
    let (alice, bob) = (Account::new("alice"), Account::new("bob"));
    let step = Step::new();

    step.now("three devices log in, both users have cross-signing keys");
    let mut phone = alice.device(program, &base, "register", "alice-phone").await;
    let mut bobs = bob.device(program, &base, "register", "bob-phone").await;
    for (client, account) in [(&mut phone, &alice), (&mut bobs, &bob)] {
        client.driver.ask("bootstrap", json!({ "password": account.password })).await;
        assert_eq!(client.driver.ask("status", json!({})).await["cross_signing"], true);
    }
    let mut laptop = alice.device(program, &base, "login", "alice-laptop").await;

    step.now("an encrypted room");
    let room =
        phone.driver.ask("create_room", json!({ "name": "the nest", "encrypted": true, "invite": [bobs.user] })).await;
    let room = text(&room["room"]);
    bobs.driver.ask("join", json!({ "room": room })).await;
    for (one, other) in [(&mut phone, &bobs), (&mut laptop, &bobs)] {
        one.meets(&room, other).await;
    }
    bobs.meets(&room, &phone).await;
    bobs.knows(&laptop).await;

    step.now("many messages both ways");
    let mut texts = Vec::new();
    for n in 0..messages {
        let body = format!("{n}: the quick brown fox – 🦊");
        let speaker = if n % 2 == 0 { &mut phone } else { &mut bobs };
        speaker.driver.say(&room, &body).await;
        texts.push(body);
    }
    for client in [&phone, &laptop, &bobs] {
        client.sees(&room, "text", &texts).await;
        assert_eq!(client.undecryptable(&room), Vec::<Value>::new());
    }
    let plain =
        bobs.driver.reports("saw").into_iter().filter(|it| it["kind"] == "text" && it["encrypted"] != true).count();
    assert_eq!(plain, 0, "every text came encrypted");

    step.now("an image, edits, reactions, redactions");
    let (path, bytes) = picture(&phone.store);
    let image = text(&phone.driver.ask("send_image", json!({ "room": room, "path": path })).await["event"]);
    for client in [&mut bobs, &mut laptop] {
        client.sees(&room, "image", &["nest.png".to_owned()]).await;
        let copy = client.store.join("copy.png");
        client.driver.ask("download", json!({ "event": image, "path": copy })).await;
        assert_eq!(fs::read(copy).expect("the copy"), bytes);
    }
    let mistake = phone.driver.say(&room, "helo").await;
    phone.driver.ask("edit", json!({ "room": room, "event": mistake, "body": "hello" })).await;
    bobs.driver.ask("react", json!({ "room": room, "event": mistake, "key": "🪺" })).await;
    let regretted = bobs.driver.say(&room, "regretted").await;
    texts.extend(["helo".to_owned(), "regretted".to_owned()]);
    bobs.sees(&room, "text", &texts).await;
    bobs.driver.ask("redact", json!({ "room": room, "event": regretted })).await;
    for client in [&phone, &laptop, &bobs] {
        client.sees(&room, "edit", &["hello".to_owned()]).await;
        client.sees(&room, "reaction", &["🪺".to_owned()]).await;
        let redacts = |driver: &Driver| {
            driver.reports("saw").iter().any(|it| it["kind"] == "redaction" && it["of"] == regretted.as_str())
        };
        client.driver.until("redaction", SOON, redacts).await;
    }
    texts.pop();
    assert_eq!(laptop.reads(&room, "text").await, texts, "what was redacted cannot be read any more");

    step.now("SAS: between users, and between a user's own devices");
    verify(&mut phone, &mut bobs).await;
    trusts(&mut phone, &bobs.user).await;
    trusts(&mut bobs, &phone.user).await;
    verify(&mut phone, &mut laptop).await;
    assert_eq!(phone.knows(&laptop).await["verified"], true);
    let begin = Instant::now();
    while laptop.driver.ask("status", json!({})).await["verified"] != true {
        assert!(begin.elapsed() < SOON, "the laptop is not verified by its owner's keys");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }

    step.now("the laptop sleeps, and catches up");
    laptop.driver.ask("sync_stop", json!({})).await;
    let mut missed = Vec::new();
    for n in 0..60 {
        let body = format!("while you slept, {n}");
        let speaker = if n % 3 == 0 { &mut phone } else { &mut bobs };
        speaker.driver.say(&room, &body).await;
        missed.push(body);
    }
    let store = laptop.store.clone();
    laptop.driver.shutdown().await;
    let mut driver = Driver::start(program, "alice-laptop-awake");
    let session = driver.ask("restore", json!({ "store": store })).await;
    driver.ask("sync_start", json!({})).await;
    let laptop = Client { user: text(&session["user"]), device: text(&session["device"]), driver, store };
    laptop.sees(&room, "text", &missed).await;
    texts.extend(missed);

    step.now("key backup, restored on a fourth device");
    let key = text(&phone.driver.ask("backup_enable", json!({})).await["key"]);
    let mut tablet = alice.device(program, &base, "login", "alice-tablet").await;
    assert_eq!(tablet.reads(&room, "text").await, Vec::<String>::new(), "without keys a new device reads nothing");
    tablet.driver.ask("recover", json!({ "key": key })).await;
    let begin = Instant::now();
    let mut read = tablet.reads(&room, "text").await;
    while read.len() < texts.len() && begin.elapsed() < SOON {
        tokio::time::sleep(Duration::from_millis(500)).await;
        read = tablet.reads(&room, "text").await;
    }
    // His words before the backup's making are there too: the phone had their keys.
    assert_eq!(read, texts);
    let status = tablet.driver.ask("status", json!({})).await;
    assert_eq!(
        (&status["cross_signing"], &status["verified"], &status["backup"]),
        (&json!(true), &json!(true), &json!(true))
    );

    step.now("a late joiner reads what is said from now on, and all four devices read them");
    let carol = Account::new("carol");
    let mut late = carol.device(program, &base, "register", "carol-phone").await;
    phone.driver.ask("invite", json!({ "room": room, "user": late.user })).await;
    late.driver.ask("join", json!({ "room": room })).await;
    for client in [&mut phone, &mut bobs] {
        client.meets(&room, &late).await;
        // Her keys may have been uploaded after she joined.
        client.knows(&late).await;
        client.knows(&tablet).await;
    }
    for client in [&phone, &bobs] {
        late.meets(&room, client).await;
    }
    let mut last = Vec::new();
    for n in 0..4 {
        for speaker in [&mut phone, &mut bobs, &mut late] {
            let body = format!("welcome {n} from {}", speaker.user);
            speaker.driver.say(&room, &body).await;
            last.push(body);
        }
        // Read before it goes on: the library keeps the later of two keys of one session that come in one sync.
        late.reads_last(&room, &last).await;
    }
    for client in [&phone, &bobs, &laptop, &tablet, &late] {
        client.reads_last(&room, &last).await;
    }
    for client in [&phone, &laptop, &bobs] {
        assert_eq!(client.undecryptable(&room), Vec::<Value>::new(), "{}", client.device);
    }
    step.now("done");
}

/// Prints each step with the time that the one before took.
struct Step(std::cell::Cell<Instant>);

impl Step {
    fn new() -> Self {
        Self(std::cell::Cell::new(Instant::now()))
    }

    fn now(&self, what: &str) {
        println!("{:>6.1?} – {what}", self.0.replace(Instant::now()).elapsed());
    }
}
