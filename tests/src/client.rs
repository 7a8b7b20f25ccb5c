//! A foreign client with the account it is logged into, and how a test waits for what it sees.
//!
//! **Invariant:** what counts is what the clients could read: lists of plaintexts are compared, and an empty list fails.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    driver::{Driver, Program},
    http::text,
    scratch,
};

/// How long clients get to see what was sent.
pub const SOON: Duration = Duration::from_secs(60);

/// A driver with the account it is logged into.
#[derive(Debug)]
pub struct Client {
    pub driver: Driver,
    pub user: String,
    pub device: String,
    pub store: PathBuf,
}

/// A user who is not registered yet.
#[derive(Debug)]
pub struct Account {
    pub name: String,
    pub password: String,
}

impl Account {
    /// A name that nobody else has.
    #[must_use]
    pub fn new(stem: &str) -> Self {
        Self { name: scratch::name(stem), password: "correct horse battery".to_owned() }
    }

    /// `register` or `login` on a device of its own, which then syncs.
    pub async fn device(&self, program: Program, server: &str, how: &str, label: &str) -> Client {
        let mut driver = Driver::start(program, label);
        let store = scratch::dir(label);
        let mut ask = json!({ "server": server, "store": store, "user": self.name, "password": self.password });
        if let Some(sync) = program.sync {
            ask["sync"] = json!(sync);
        }
        let session = driver.ask(how, ask).await;
        driver.ask("sync_once", json!({})).await;
        driver.ask("sync_start", json!({})).await;
        Client { user: text(&session["user"]), device: text(&session["device"]), driver, store }
    }
}

impl Client {
    /// Waits until every one of `expected` was seen in this room as `kind`, then compares the lists.
    pub async fn sees(&self, room: &str, kind: &str, expected: &[String]) {
        assert!(!expected.is_empty(), "an empty list proves nothing");
        let begin = Instant::now();
        while self.driver.saw(room, kind).len() < expected.len() && begin.elapsed() < SOON {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let seen = self.driver.saw(room, kind);
        let missing: Vec<_> = expected.iter().filter(|it| !seen.contains(it)).collect();
        assert_eq!(
            seen,
            expected,
            "{} {}: missing {missing:?}; {:?}",
            self.user,
            self.device,
            self.undecryptable(room)
        );
    }

    /// Waits until the newest texts seen in this room are `expected`.
    pub async fn reads_last(&self, room: &str, expected: &[String]) {
        // A sync brings a hundred keys at most, so that a message may be read after those that came behind it.
        let sorted = |texts: &[String]| {
            let mut texts = texts.to_vec();
            texts.sort();
            texts
        };
        let expected = sorted(expected);
        let tail = || {
            let seen = self.driver.saw(room, "text");
            sorted(&seen[seen.len().saturating_sub(expected.len())..])
        };
        let begin = Instant::now();
        while tail() != expected && begin.elapsed() < SOON {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(tail(), expected, "{} {}: {:?}", self.user, self.device, self.undecryptable(room));
    }

    /// What this device could not read and still cannot.
    #[must_use]
    pub fn undecryptable(&self, room: &str) -> Vec<Value> {
        let reports = self.driver.reports("saw");
        reports
            .iter()
            .filter(|saw| saw["room"] == room && saw["kind"] == "undecryptable")
            .filter(|saw| !reports.iter().any(|it| it["event"] == saw["event"] && it["kind"] != "undecryptable"))
            .cloned()
            .collect()
    }

    /// The plaintexts that this device can read by paging back, oldest first.
    pub async fn reads(&mut self, room: &str, kind: &str) -> Vec<String> {
        let page = self.driver.ask("timeline", json!({ "room": room, "limit": 2_000 })).await;
        let events = page["events"].as_array().cloned().unwrap_or_default();
        events
            .iter()
            .filter(|it| it["kind"] == kind)
            .map(|it| it["body"].as_str().unwrap_or_default().to_owned())
            .collect()
    }

    /// Waits until this device is told of the other.
    pub async fn knows(&mut self, other: &Self) -> Value {
        let begin = Instant::now();
        loop {
            let devices = self.driver.ask("devices", json!({ "user": other.user })).await;
            let found = devices["devices"]
                .as_array()
                .and_then(|all| all.iter().find(|it| it["device"] == other.device.as_str()));
            if let Some(found) = found {
                return found.clone();
            }
            assert!(begin.elapsed() < SOON, "{} never heard of {}: {devices}", self.device, other.device);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits until this device was told that the other's user is in the room.
    pub async fn meets(&mut self, room: &str, other: &Self) {
        let begin = Instant::now();
        loop {
            let members = self.driver.ask("members", json!({ "room": room })).await;
            if members["members"].as_array().is_some_and(|all| all.iter().any(|it| *it == other.user.as_str())) {
                break;
            }
            assert!(begin.elapsed() < SOON, "{} was never told of {}: {members}", self.device, other.user);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.knows(other).await;
    }

    /// Waits until a verification is in `wanted` state; returns its emoji.
    pub async fn reaches(&mut self, other: &str, flow: &str, wanted: &str) -> Vec<Value> {
        let begin = Instant::now();
        loop {
            let state = self.driver.attempt("verify_state", json!({ "user": other, "flow": flow })).await;
            if let Ok(state) = &state
                && (state["state"] == wanted)
            {
                return state["emoji"].as_array().cloned().unwrap_or_default();
            }
            assert!(begin.elapsed() < SOON, "{}: verification is {state:?}, not {wanted}", self.device);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Waits until `client` takes `user` for verified: the signature comes back with the user's keys, which it fetches anew.
pub async fn trusts(client: &mut Client, user: &str) {
    let begin = Instant::now();
    while client.driver.ask("trust", json!({ "user": user })).await["verified"] != true {
        assert!(begin.elapsed() < SOON, "{user} is not verified by {}", client.user);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// SAS between two devices, as two people do it: request, accept, compare emoji, confirm.
pub async fn verify(asking: &mut Client, asked: &mut Client) {
    asking.knows(asked).await;
    asked.knows(asking).await;
    let to = json!({ "user": asked.user, "device": asked.device });
    let flow = text(&asking.driver.ask("verify_request", to).await["flow"]);
    let heard = |driver: &Driver| driver.reports("verification").iter().any(|it| it["flow"] == flow.as_str());
    asked.driver.until("verification request", SOON, heard).await;
    let (with_asked, with_asking) =
        (json!({ "user": asked.user, "flow": flow }), json!({ "user": asking.user, "flow": flow }));

    asked.driver.ask("verify_accept", with_asking.clone()).await;
    asking.reaches(&asked.user, &flow, "ready").await;
    asking.driver.ask("verify_start", with_asked.clone()).await;
    asked.reaches(&asking.user, &flow, "started").await;
    asked.driver.ask("verify_accept", with_asking.clone()).await;
    let shown = asking.reaches(&asked.user, &flow, "emoji").await;
    let shown_there = asked.reaches(&asking.user, &flow, "emoji").await;
    assert_eq!(shown.len(), 7);
    assert_eq!(shown, shown_there, "both sides show the same emoji");
    asking.driver.ask("verify_confirm", with_asked).await;
    asked.driver.ask("verify_confirm", with_asking).await;
    asking.reaches(&asked.user, &flow, "done").await;
    asked.reaches(&asking.user, &flow, "done").await;
}
