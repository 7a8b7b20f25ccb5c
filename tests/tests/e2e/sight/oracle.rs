//! What the specification lets each user see, computed from a room's whole history.
//!
//! A moment is a number: so many events have happened. Source: client-server API, "Room history visibility".
//!
//! **Invariant:** it knows nothing but the events, in their order, as somebody sees them who was inside from the beginning.

use std::collections::{BTreeMap, BTreeSet};

use roost_tests::http::text;
use serde_json::Value;

/// Event IDs by type and state key.
pub type State = BTreeMap<(String, String), String>;

/// A room's whole history.
#[derive(Debug)]
pub struct History {
    pub room: String,
    /// The oldest first.
    pub events: Vec<Value>,
}

/// What an event is state of.
pub fn key(event: &Value) -> Option<(String, String)> {
    Some((text(&event["type"]), event["state_key"].as_str()?.to_owned()))
}

/// A user's membership, as a key of the state.
pub fn member(user: &str) -> (String, String) {
    ("m.room.member".to_owned(), user.to_owned())
}

impl History {
    /// The moment right after the event.
    pub fn after(&self, id: &str) -> Option<usize> {
        self.events.iter().position(|event| event["event_id"] == id).map(|i| i + 1)
    }

    pub fn state(&self, moment: usize) -> State {
        self.events[..moment].iter().filter_map(|event| Some((key(event)?, text(&event["event_id"])))).collect()
    }

    /// `field` of the newest state event of a type and key.
    fn value(&self, moment: usize, kind: &str, state_key: &str, field: &str) -> Option<&str> {
        let is_it = |event: &&Value| event["type"] == kind && event["state_key"] == state_key;
        self.events[..moment].iter().rev().find(is_it).and_then(|event| event["content"][field].as_str())
    }

    pub fn membership(&self, user: &str, moment: usize) -> &str {
        self.value(moment, "m.room.member", user, "membership").unwrap_or("leave")
    }

    fn visibility(&self, moment: usize) -> &str {
        self.value(moment, "m.room.history_visibility", "", "history_visibility").unwrap_or("shared")
    }

    pub fn is_inside(&self, user: &str, moment: usize) -> bool {
        self.membership(user, moment) == "join"
    }

    /// Whether the user sees the event at `i` when `now` events have happened.
    pub fn sees(&self, user: &str, i: usize, now: usize) -> bool {
        let event = &self.events[i];
        let is_state = |kind: &str, state_key: &str| event["type"] == kind && event["state_key"] == state_key;
        let both = |either: bool| if either { vec![i, i + 1] } else { vec![i + 1] };
        let joined_later =
            (i + 2..=now).any(|moment| self.is_inside(user, moment) && !self.is_inside(user, moment - 1));
        let allows = |visibility: &str, membership: &str| match (visibility, membership) {
            ("world_readable", _) | (_, "join") | ("invited", "invite") => true,
            ("shared", _) => joined_later,
            _ => false,
        };
        both(is_state("m.room.history_visibility", "")).into_iter().any(|v| {
            let visibility = self.visibility(v);
            both(is_state("m.room.member", user)).into_iter().any(|m| allows(visibility, self.membership(user, m)))
        })
    }

    /// The moment in which the user's last stay ended; `None` where they are inside or never were.
    pub fn leaving(&self, user: &str, now: usize) -> Option<usize> {
        if self.is_inside(user, now) {
            return None;
        }
        (1..=now).rev().find(|moment| self.is_inside(user, moment - 1) && !self.is_inside(user, *moment))
    }

    /// The moment of whose state the user is told when they ask for the room's; `None` where they may not look into it.
    pub fn standing(&self, user: &str, now: usize) -> Option<usize> {
        match self.leaving(user, now) {
            Some(leaving) => Some(leaving),
            None if self.is_inside(user, now) || self.visibility(now) == "world_readable" => Some(now),
            None => None,
        }
    }

    /// The state events that the user may be told of in one way or another: those in the states before and after what they
    /// see, and their own memberships.
    pub fn tellable(&self, user: &str, now: usize) -> BTreeSet<String> {
        let mut told: BTreeSet<String> = self.events[..now]
            .iter()
            .filter(|event| key(event) == Some(member(user)))
            .map(|event| text(&event["event_id"]))
            .collect();
        for i in (0..now).filter(|i| self.sees(user, *i, now)) {
            told.extend(self.state(i).into_values().chain(self.state(i + 1).into_values()));
        }
        told
    }
}
