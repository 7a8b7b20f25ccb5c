//! A long-poll of a whole minute through each proxy, which costs the suite no minute.
//!
//! **Invariant:** nothing here takes part in the turns: a minute in which nothing happens disturbs nobody, and nobody is
//! kept waiting by it.

use std::{
    panic::resume_unwind,
    sync::{Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use reqwest::Client;
use roost_tests::{User, shared};
use serde_json::Value;

use crate::proxies::Proxies;

/// What clients ask for at most, as a rule.
const MINUTE: Duration = Duration::from_secs(60);
/// The server answers by its own clock; a machine with other tests on it is late by less.
const LATE: Duration = Duration::from_secs(10);

/// The minute that goes by while other tests run.
static WAITING: Mutex<Option<JoinHandle<()>>> = Mutex::new(None);

/// Begins the minute, unless it has begun.
pub fn begin() {
    let mut waiting = WAITING.lock().unwrap_or_else(PoisonError::into_inner);
    waiting.get_or_insert_with(|| {
        thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(wait());
        })
    });
}

/// Its name is among the last, and so is its turn: as a rule the minute is over by then.
#[test]
fn a_minute_without_a_word_goes_through_each_proxy() {
    begin();
    let waiting = WAITING.lock().unwrap_or_else(PoisonError::into_inner).take();
    waiting.expect("a minute that has begun").join().unwrap_or_else(|panic| resume_unwind(panic));
}

async fn wait() {
    let server = shared::server().await;
    let proxies = Proxies::start(&[server.base()]).await;
    let users = [server.user("alice").await, server.user("bob").await, server.user("carol").await];
    let polls = proxies.bases().into_iter().zip(&users).map(|(base, user)| poll(&proxies.client, base, user));
    futures::future::join_all(polls).await;
}

/// Nothing happens to this user, and the server says so after a minute: not the proxy, and not sooner.
async fn poll(client: &Client, base: &str, user: &User) {
    let since = sync(client, base, user, "timeout=0").await;
    // The first one after tells of the user's own presence.
    let since = sync(client, base, user, &format!("timeout=0&since={since}")).await;
    let begin = Instant::now();
    sync(client, base, user, &format!("timeout={}&since={since}", MINUTE.as_millis())).await;
    let took = begin.elapsed();
    assert!((MINUTE..MINUTE + LATE).contains(&took), "{base}: {took:?}");
}

/// The next token.
async fn sync(client: &Client, base: &str, user: &User, query: &str) -> String {
    let url = format!("{base}/_matrix/client/v3/sync?{query}");
    let answer = client.get(url).bearer_auth(&user.token).send().await.expect("an answer");
    assert_eq!(answer.status(), 200, "{base}");
    let answer: Value = answer.json().await.expect("JSON");
    assert!(answer["rooms"].is_null(), "{base}: something happened: {answer}");
    answer["next_batch"].as_str().expect("a token").to_owned()
}
