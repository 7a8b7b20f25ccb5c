//! `/sync` as a client drives it: one token after the other.
//!
//! **Invariant:** a token is stored only with the answer that brought it, so a test never skips a position.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::{
    http::{Reply, seg, text},
    user::User,
};

/// How long a test waits for something that should come at once.
const PATIENCE: Duration = Duration::from_secs(15);

impl User {
    /// One sync from the last token, without waiting.
    pub async fn sync(&self) -> Value {
        self.sync_with("timeout=0").await
    }

    /// One sync with query parameters (`timeout=1000&filter=…`).
    pub async fn sync_with(&self, query: &str) -> Value {
        let answer = self.try_sync(query).await.ok();
        *self.since.lock().expect("sync token") = Some(text(&answer["next_batch"]));
        answer
    }

    /// One sync whose answer the test judges; the token does not move.
    pub async fn try_sync(&self, query: &str) -> Reply {
        self.get(&self.sync_path(query)).await
    }

    /// The path of the next sync.
    #[must_use]
    pub fn sync_path(&self, query: &str) -> String {
        let since =
            self.since.lock().expect("sync token").as_ref().map_or_else(String::new, |s| format!("&since={}", seg(s)));
        format!("sync?{query}{since}")
    }

    /// The token of the last sync.
    #[must_use]
    pub fn since(&self) -> Option<String> {
        self.since.lock().expect("sync token").clone()
    }

    /// Forgets the token: the next sync is an initial one.
    pub fn start_over(&self) {
        *self.since.lock().expect("sync token") = None;
    }

    /// Goes back to a token, as a client does whose answer got lost.
    pub fn rewind(&self, since: Option<String>) {
        *self.since.lock().expect("sync token") = since;
    }

    /// Syncs until `found` finds something in an answer.
    ///
    /// # Panics
    /// If nothing is found in time.
    pub async fn wait_for<T>(&self, what: &str, mut found: impl FnMut(&Value) -> Option<T>) -> T {
        let begin = Instant::now();
        let mut last = Value::Null;
        while begin.elapsed() < PATIENCE {
            last = self.sync_with("timeout=2000").await;
            if let Some(it) = found(&last) {
                return it;
            }
        }
        panic!("{}: no {what} within {PATIENCE:?}; the last sync was {last:#}", self.id);
    }

    /// Waits for an event with this id in a joined room's timeline, and returns it.
    pub async fn wait_for_event(&self, room: &str, event: &str) -> Value {
        self.wait_for("event", |sync| timeline(sync, room).into_iter().find(|it| it["event_id"] == event)).await
    }
}

/// A joined room's section of a sync, or null.
#[must_use]
pub fn joined<'a>(sync: &'a Value, room: &str) -> &'a Value {
    &sync["rooms"]["join"][room]
}

/// A joined room's timeline events in a sync.
#[must_use]
pub fn timeline(sync: &Value, room: &str) -> Vec<Value> {
    list(&joined(sync, room)["timeline"]["events"])
}

/// A joined room's state events in a sync: `state`, or `state_after` where it was asked for.
#[must_use]
pub fn state(sync: &Value, room: &str) -> Vec<Value> {
    let room = joined(sync, room);
    let section = if room["state_after"].is_object() { &room["state_after"] } else { &room["state"] };
    list(&section["events"])
}

/// A list out of an answer; nothing there is an empty list.
#[must_use]
pub fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

/// The strings of a list.
#[must_use]
pub fn strings(value: &Value) -> Vec<String> {
    list(value).iter().filter_map(|it| it.as_str().map(str::to_owned)).collect()
}

/// The bodies of the text messages among `events`.
#[must_use]
pub fn bodies(events: &[Value]) -> Vec<String> {
    events.iter().filter_map(|event| event["content"]["body"].as_str().map(str::to_owned)).collect()
}

/// The ids of `events`.
#[must_use]
pub fn ids(events: &[Value]) -> Vec<String> {
    events.iter().filter_map(|event| event["event_id"].as_str().map(str::to_owned)).collect()
}

/// The first of `events` with this type and, where given, state key.
#[must_use]
pub fn find<'a>(events: &'a [Value], kind: &str, key: Option<&str>) -> Option<&'a Value> {
    events.iter().find(|event| event["type"] == kind && key.is_none_or(|key| event["state_key"] == key))
}

/// The to-device messages of a sync.
#[must_use]
pub fn to_device(sync: &Value) -> Vec<Value> {
    list(&sync["to_device"]["events"])
}

/// A filter as a query value.
#[must_use]
pub fn filter(filter: &Value) -> String {
    seg(&filter.to_string())
}

/// A timeline limit as a query value.
#[must_use]
pub fn limit(events: u32) -> String {
    filter(&json!({ "room": { "timeline": { "limit": events } } }))
}
