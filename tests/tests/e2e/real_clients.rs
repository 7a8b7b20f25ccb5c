//! Three foreign libraries in one encrypted room, and what one of them verified or backed up, read by another.
//!
//! They share no code above the ratchet: what one of them takes for granted, another may not send.

use std::{collections::BTreeMap, fs};

use roost_tests::{
    client::{Account, Client, SOON, trusts, verify},
    driver::{MATRIX_JS_SDK, MATRIX_NIO, MATRIX_SDK, MATRIX_SDK_SLIDING},
    http::text,
    shared, turn,
};
use serde_json::{Value, json};

/// How often each speaks.
const ROUNDS: usize = 5;

/// What everybody must have read, by kind, in order.
#[derive(Default)]
struct Story(BTreeMap<&'static str, Vec<String>>);

impl Story {
    fn tell(&mut self, kind: &'static str, body: &str) {
        self.0.entry(kind).or_default().push(body.to_owned());
    }

    async fn is_read_by(&self, clients: &[Client], room: &str) {
        for client in clients {
            for (kind, bodies) in &self.0 {
                client.sees(room, kind, bodies).await;
            }
            assert_eq!(client.undecryptable(room), Vec::<Value>::new(), "{}", client.user);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_pair_of_libraries_talks_both_ways_encrypted() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let programs =
        [("rust", MATRIX_SDK), ("sliding", MATRIX_SDK_SLIDING), ("javascript", MATRIX_JS_SDK), ("python", MATRIX_NIO)];
    let mut clients = Vec::new();
    for (name, program) in programs {
        clients.push(Account::new(name).device(program, server.base(), "register", name).await);
    }

    // Each makes a room and invites the others; the last of them is where they talk.
    for host in 0..clients.len() {
        let room = meeting(&mut clients, host).await;
        let mut story = Story::default();
        converse(&mut clients, host, &room, &mut story).await;
        let seen = clients[host].driver.reports("saw");
        let plain: Vec<_> = seen.iter().filter(|it| it["kind"] == "text" && it["encrypted"] != true).collect();
        assert_eq!(plain, Vec::<&Value>::new(), "every text came encrypted");
    }
}

/// An encrypted room of all clients, made by one of them.
async fn meeting(clients: &mut [Client], host: usize) -> String {
    let guests: Vec<_> = clients.iter().map(|it| it.user.clone()).filter(|it| *it != clients[host].user).collect();
    let wanted = json!({ "name": "the roost", "encrypted": true, "invite": guests });
    let room = text(&clients[host].driver.ask("create_room", wanted).await["room"]);
    for (n, guest) in clients.iter_mut().enumerate() {
        if n != host {
            guest.driver.ask("join", json!({ "room": room })).await;
        }
    }
    for n in 0..clients.len() {
        let (before, rest) = clients.split_at_mut(n);
        let [client, after @ ..] = rest else { unreachable!("n is one of them") };
        for other in before.iter().chain(after.iter()) {
            client.meets(&room, other).await;
        }
    }
    room
}

/// Everybody speaks in turn; then the host sends what is more than text.
async fn converse(clients: &mut [Client], host: usize, room: &str, story: &mut Story) {
    let mut last = String::new();
    for round in 0..ROUNDS {
        for client in clients.iter_mut() {
            let body = format!("{round}: {} says good morning – 🦉", client.user);
            last = client.driver.say(room, &body).await;
            story.tell("text", &body);
        }
    }
    story.is_read_by(clients, room).await;

    let client = &mut clients[host];
    let picture = b"\x89PNG\r\n\x1a\n and what one library makes of it, the others must be able to read".repeat(300);
    let path = client.store.join("owl.png");
    fs::write(&path, &picture).expect("a picture");
    let image = text(&client.driver.ask("send_image", json!({ "room": room, "path": path })).await["event"]);
    story.tell("image", "owl.png");
    let mistake = client.driver.say(room, "god night").await;
    story.tell("text", "god night");
    client.driver.ask("edit", json!({ "room": room, "event": mistake, "body": "good night" })).await;
    story.tell("edit", "good night");
    client.driver.ask("react", json!({ "room": room, "event": last, "key": "🌙" })).await;
    story.tell("reaction", "🌙");
    story.is_read_by(clients, room).await;

    clients[host].driver.ask("redact", json!({ "room": room, "event": mistake })).await;
    for client in clients {
        let copy = client.store.join("copy.png");
        client.driver.ask("download", json!({ "event": image, "path": copy })).await;
        assert_eq!(fs::read(copy).expect("the copy"), picture, "{}", client.user);
        let redacts = |saw: &Value| saw["kind"] == "redaction" && saw["of"] == mistake.as_str();
        client.driver.until("redaction", SOON, |it| it.reports("saw").iter().any(redacts)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sas_and_key_backup_between_libraries() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let alice = Account::new("alice");
    let bob = Account::new("bob");
    let mut web = alice.device(MATRIX_JS_SDK, server.base(), "register", "alice-web").await;
    let mut phone = bob.device(MATRIX_SDK, server.base(), "register", "bob-phone").await;
    web.driver.ask("bootstrap", json!({ "password": alice.password })).await;
    phone.driver.ask("bootstrap", json!({ "password": bob.password })).await;

    let room = web.driver.ask("create_room", json!({ "name": "two", "encrypted": true, "invite": [phone.user] })).await;
    let room = text(&room["room"]);
    phone.driver.ask("join", json!({ "room": room })).await;
    web.meets(&room, &phone).await;
    phone.meets(&room, &web).await;
    verify(&mut web, &mut phone).await;
    trusts(&mut web, &phone.user).await;
    trusts(&mut phone, &web.user).await;

    let mut texts = Vec::new();
    for n in 0..4 {
        let speaker = if n % 2 == 0 { &mut web } else { &mut phone };
        texts.push(format!("worth keeping, {n}"));
        speaker.driver.say(&room, &texts[n]).await;
    }
    web.sees(&room, "text", &texts).await;

    let key = text(&web.driver.ask("backup_enable", json!({})).await["key"]);
    let mut tablet = alice.device(MATRIX_SDK_SLIDING, server.base(), "login", "alice-tablet").await;
    tablet.driver.ask("recover", json!({ "key": key })).await;
    let mut read = tablet.reads(&room, "text").await;
    let begin = std::time::Instant::now();
    while read.len() < texts.len() && begin.elapsed() < SOON {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        read = tablet.reads(&room, "text").await;
    }
    assert_eq!(read, texts, "what one library backed up, another restores");
    let status = tablet.driver.ask("status", json!({})).await;
    assert_eq!((&status["verified"], &status["backup"]), (&json!(true), &json!(true)));
}
