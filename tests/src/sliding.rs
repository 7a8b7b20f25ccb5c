//! Sliding sync as a client drives it: one position after the other.
//!
//! **Invariant:** a position is stored only with the answer that brought it.

use std::sync::Mutex;

use serde_json::{Value, json};

use crate::{
    http::{Reply, seg, text},
    user::User,
};

/// One connection of a device, in the dialect that clients speak today.
#[derive(Debug)]
pub struct Phone<'a> {
    pub user: &'a User,
    /// The request's body: `conn_id`, `lists`, …
    pub ask: Value,
    pos: Mutex<Option<String>>,
}

/// The path of the dialect that clients speak today.
pub const UNSTABLE: &str = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync";

impl<'a> Phone<'a> {
    #[must_use]
    pub fn new(user: &'a User, ask: Value) -> Self {
        Self { user, ask, pos: Mutex::new(None) }
    }

    /// One request that does not wait.
    pub async fn look(&self) -> Value {
        self.wait(0).await
    }

    /// One request that waits for so many milliseconds.
    pub async fn wait(&self, timeout: u32) -> Value {
        let answer = self.reply(timeout).await.ok();
        *self.pos.lock().expect("position") = Some(text(&answer["pos"]));
        answer
    }

    /// One request whose answer the test judges; the position does not move.
    pub async fn reply(&self, timeout: u32) -> Reply {
        let pos = self.pos().map_or_else(String::new, |pos| format!("&pos={}", seg(&pos)));
        self.user.post(&format!("{UNSTABLE}?timeout={timeout}{pos}"), self.ask.clone()).await
    }

    #[must_use]
    pub fn pos(&self) -> Option<String> {
        self.pos.lock().expect("position").clone()
    }

    /// Goes to a position, as a client does whose answer got lost.
    pub fn rewind(&self, pos: Option<String>) {
        *self.pos.lock().expect("position") = pos;
    }

    /// Asks until `found` finds something in an answer.
    ///
    /// # Panics
    /// If nothing is found in ten answers.
    pub async fn wait_for<T>(&self, what: &str, mut found: impl FnMut(&Value) -> Option<T>) -> T {
        let mut last = Value::Null;
        for _ in 0..10 {
            last = self.wait(2_000).await;
            if let Some(it) = found(&last) {
                return it;
            }
        }
        panic!("{}: no {what}; the last answer was {last:#}", self.user.id);
    }
}

/// A list over `first..=last` that wants `limit` events and `state` of each room.
#[must_use]
pub fn window(first: u32, last: u32, limit: u32, state: &[(&str, &str)]) -> Value {
    json!({ "ranges": [[first, last]], "timeline_limit": limit, "required_state": state })
}

/// The IDs of the rooms in an answer, sorted.
#[must_use]
pub fn rooms(answer: &Value) -> Vec<String> {
    answer["rooms"].as_object().into_iter().flat_map(|rooms| rooms.keys().cloned()).collect()
}
