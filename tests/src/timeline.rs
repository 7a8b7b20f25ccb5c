//! A room's timeline as a member sees it: syncs, with gaps filled by `/messages`.
//!
//! **Invariant:** events stand in the order in which the server shows them, and none is dropped, not even a repeat: judging
//! is the test's business.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    http::{seg, text},
    sync::{ids, list},
    user::{User, at},
};

/// Who asks for pages of history, and how stubbornly.
pub trait Pages {
    /// The body of `GET path`.
    fn page(&self, path: String) -> impl Future<Output = Value> + Send;
}

impl Pages for User {
    async fn page(&self, path: String) -> Value {
        self.get(&path).await.ok()
    }
}

/// Event ids of each room, as one member has seen them so far.
#[derive(Clone, Debug, Default)]
pub struct Timelines {
    rooms: BTreeMap<String, Vec<String>>,
}

impl Timelines {
    /// Adds one sync answer. Where a timeline is limited, `pages` gives what is missing.
    pub async fn add(&mut self, pages: &impl Pages, sync: &Value) {
        let Some(joined) = sync["rooms"]["join"].as_object() else { return };
        for (room, section) in joined {
            let timeline = &section["timeline"];
            let new = ids(&list(&timeline["events"]));
            let known = self.rooms.entry(room.clone()).or_default();
            if timeline["limited"] == true {
                let gap = fill(pages, room, &text(&timeline["prev_batch"]), known.last()).await;
                known.extend(gap);
            }
            known.extend(new);
        }
    }

    /// What was seen of `room`, oldest first.
    #[must_use]
    pub fn of(&self, room: &str) -> &[String] {
        self.rooms.get(room).map_or(&[], Vec::as_slice)
    }
}

/// The events between `known` (exclusive) and `from`, oldest first.
async fn fill(pages: &impl Pages, room: &str, from: &str, known: Option<&String>) -> Vec<String> {
    let mut backwards = Vec::new();
    let mut from = from.to_owned();
    loop {
        let page = pages.page(at(room, &format!("messages?dir=b&limit=100&from={}", seg(&from)))).await;
        for id in ids(&list(&page["chunk"])) {
            if known == Some(&id) {
                backwards.reverse();
                return backwards;
            }
            backwards.push(id);
        }
        match page["end"].as_str() {
            Some(end) => end.clone_into(&mut from),
            None => {
                backwards.reverse();
                return backwards;
            }
        }
    }
}

/// A room's whole history through `/messages`, oldest first.
pub async fn history(user: &User, room: &str, direction: &str) -> Vec<Value> {
    let mut events = Vec::new();
    let mut from = String::new();
    loop {
        let page = user.messages(room, &format!("dir={direction}&limit=100{from}")).await;
        events.extend(list(&page["chunk"]));
        match page["end"].as_str() {
            Some(end) => from = format!("&from={}", seg(end)),
            None => break,
        }
    }
    if direction == "b" {
        events.reverse();
    }
    events
}
