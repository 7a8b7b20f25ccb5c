//! The page that a browser shows at the server's address.

use roost_tests::{shared, turn};

#[tokio::test(flavor = "multi_thread")]
async fn the_servers_address_says_what_is_there_and_how_to_use_it() {
    let _turn = turn::shared().await;
    let server = shared::server().await;
    let page = server.call("GET", "/", None, None).await;
    let text = page.text();
    assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
    assert!(page.header("content-security-policy").contains("default-src 'none'"));
    assert!(text.contains("<h1>localhost</h1>") && text.contains("is running"), "{text}");
    assert!(text.contains(&format!("<code>{}</code>", server.base())), "{text}");
    assert!(text.len() <= 2048 && !text.contains("<script") && !text.contains("href"), "{text}");
    server.call("POST", "/", None, None).await.is(405, "M_UNRECOGNIZED");
    server.call("GET", "/index.html", None, None).await.is(404, "M_UNRECOGNIZED");
}
