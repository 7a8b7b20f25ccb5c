//! A browser: matrix-js-sdk in a page of another origin, in headless Chromium.
//!
//! Here what a plain client never asks for counts: preflight requests, exposed headers, IndexedDB, pictures as blobs.

use std::fs;

use roost_tests::{
    client::Account,
    driver::{BROWSER, MATRIX_SDK},
    http::text,
    shared, turn,
};
use serde_json::json;

/// A picture of 5 by 3 pixels.
const PICTURE: &[u8] = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x05\x00\x00\x00\x03\x08\x02\x00\x00\x00\xd4TR\xaf\x00\x00\x00\x10\
    IDATx\xdac8Q\xa1\x81\x8c\x18\x08\xf0\x01\x03\xee\x15\x19\xe4LQT\x00\x00\x00\x00IEND\xaeB`\x82";

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_another_origin_chats_encrypted_and_shows_a_picture() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let alice = Account::new("alice");
    let mut phone = Account::new("bob").device(MATRIX_SDK, server.base(), "register", "bob-phone").await;
    // Registered elsewhere; the page logs in.
    drop(alice.device(MATRIX_SDK, server.base(), "register", "alice-phone").await);
    let mut page = alice.device(BROWSER, server.base(), "login", "alice-page").await;

    let room =
        page.driver.ask("create_room", json!({ "name": "web", "encrypted": true, "invite": [phone.user] })).await;
    let room = text(&room["room"]);
    phone.driver.ask("join", json!({ "room": room })).await;
    page.meets(&room, &phone).await;
    phone.meets(&room, &page).await;
    let mut texts = Vec::new();
    for n in 0..6 {
        let speaker = if n % 2 == 0 { &mut page } else { &mut phone };
        texts.push(format!("{n}: from {}", speaker.user));
        speaker.driver.say(&room, &texts[n]).await;
    }
    page.sees(&room, "text", &texts).await;
    phone.sees(&room, "text", &texts).await;

    for (sender, name) in [(&mut page, "web.png"), (&mut phone, "phone.png")] {
        let path = sender.store.join(name);
        fs::write(&path, PICTURE).expect("a picture");
        sender.driver.ask("send_image", json!({ "room": room, "path": path })).await;
    }
    let pictures = ["web.png".to_owned(), "phone.png".to_owned()];
    page.sees(&room, "image", &pictures).await;
    phone.sees(&room, "image", &pictures).await;
    for image in page.driver.reports("saw").iter().filter(|it| it["kind"] == "image") {
        let shown = page.driver.ask("show_image", json!({ "event": image["event"] })).await;
        assert_eq!((&shown["width"], &shown["height"]), (&json!(5), &json!(3)), "{image}");
        let copy = phone.store.join("copy.png");
        phone.driver.ask("download", json!({ "event": image["event"], "path": copy })).await;
        assert_eq!(fs::read(copy).expect("the copy"), PICTURE);
    }
    assert_eq!(page.driver.reports("sync_error"), Vec::<serde_json::Value>::new());
}
