//! Clients that fold what they are told into what they know of a room, and the judgement of what they know.

use std::collections::BTreeSet;

use roost_tests::{
    http::text,
    sync::{ids, list},
};
use serde_json::Value;

use super::oracle::{History, State, key, member};

/// What a client asks for.
#[derive(Clone, Copy, Debug)]
pub enum Wish {
    Sync {
        limit: usize,
        lazy: bool,
        state_after: bool,
        names: Names,
        with_left: bool,
    },
    /// `stable`: in the words of the specification's dialect.
    Sliding {
        limit: usize,
        stable: bool,
    },
}

/// Where a client wants to see changes of a room's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    Everywhere,
    /// In the state alone.
    NotInTimelines,
    Nowhere,
}

/// One answer, taken when the room's newest event was `newest`.
#[derive(Debug)]
pub struct Told {
    pub client: usize,
    pub newest: String,
    pub answer: Value,
    /// It never reached the client.
    pub lost: bool,
    /// The client began anew with this request, or asked for the full state because it forgot.
    pub begins: bool,
    pub full_state: bool,
}

/// A client, and what it knows.
#[derive(Debug, Default)]
pub struct Client {
    state: State,
    /// It was told all of the room at some time.
    whole: bool,
    /// Up to which moment it was told.
    at: usize,
}

type Verdict = Result<(), String>;

fn check(holds: bool, what: impl FnOnce() -> String) -> Verdict {
    if holds { Ok(()) } else { Err(what()) }
}

/// How a room's part of an answer is folded.
struct Part {
    timeline: Vec<Value>,
    state: Vec<Value>,
    /// The state is the one at the timeline's end.
    at_end: bool,
    inside: bool,
    initial: bool,
}

impl Client {
    /// Takes in an answer and judges what the client knows then. Without `exact` only whether it was told what it may not be.
    pub fn take(&mut self, history: &History, user: &str, wish: Wish, told: &Told, exact: bool) -> Verdict {
        let now = history.after(&told.newest).ok_or("an event is in no history")?;
        let part = part(history, user, wish, told, now);
        if let Some(part) = &part {
            may_be_told(history, user, part, now)?;
        }
        if told.lost {
            return Ok(());
        }
        let since = if told.begins { now } else { self.at };
        self.at = now;
        if told.begins {
            *self = Self { at: now, ..Self::default() };
        }
        let Some(part) = part else {
            return if exact { self.is_up_to_date(history, user, wish, (since, now)) } else { Ok(()) };
        };
        if part.initial || (told.full_state && part.inside) {
            self.state.clear();
        }
        let asked_for_all = matches!(wish, Wish::Sync { with_left: true, .. } | Wish::Sliding { .. }) && told.begins;
        self.whole |= part.inside || asked_for_all || (since..=now).any(|moment| history.is_inside(user, moment));
        self.fold(&part, wish)?;
        if exact {
            self.explains(&part)?;
            self.is_right(history, user, wish, now)?;
        }
        Ok(())
    }

    fn fold(&mut self, part: &Part, wish: Wish) -> Verdict {
        let entries = |events: &[Value]| -> State {
            events.iter().filter_map(|event| Some((key(event)?, text(&event["event_id"])))).collect()
        };
        let (timeline, state) = (entries(&part.timeline), entries(&part.state));
        self.state.extend(state);
        if !part.at_end {
            self.state.extend(timeline);
        } else if matches!(wish, Wish::Sliding { .. }) {
            // Some clients go through the timeline behind the state: that must come to the same.
            let differs = timeline.iter().find(|(key, id)| self.state.get(key) != Some(id));
            check(differs.is_none(), || format!("the timeline ends with another {differs:?} than the state"))?;
        }
        Ok(())
    }

    /// Whoever speaks in the timeline is known.
    fn explains(&self, part: &Part) -> Verdict {
        if !part.inside {
            return Ok(());
        }
        for event in &part.timeline {
            let sender = text(&event["sender"]);
            check(self.state.contains_key(&member(&sender)), || format!("nothing is known of the sender {sender}"))?;
        }
        Ok(())
    }

    fn is_right(&self, history: &History, user: &str, wish: Wish, now: usize) -> Verdict {
        let inside = history.is_inside(user, now);
        let mut expected = match history.leaving(user, now) {
            Some(leaving) => history.state(leaving),
            None if inside => history.state(now),
            None => State::new(),
        };
        expected.extend(history.state(now).into_iter().filter(|(key, _)| *key == member(user)));
        let lazy = matches!(wish, Wish::Sync { lazy: true, .. });
        if matches!(wish, Wish::Sync { names: Names::Nowhere, .. }) {
            expected.remove(&("m.room.name".to_owned(), String::new()));
        }
        for (key, id) in &self.state {
            check(expected.get(key) == Some(id), || {
                format!("{key:?} is {id} to the client, and should be {:?}", expected.get(key))
            })?;
        }
        for (key, id) in expected.iter().filter(|_| self.whole) {
            let may_lack = lazy && key.0 == "m.room.member" && key.1 != user;
            check(may_lack || self.state.contains_key(key), || format!("the client lacks {key:?}, which is {id}"))?;
        }
        Ok(())
    }

    /// Where an answer says nothing of the room, nothing has changed in it that the client must know.
    fn is_up_to_date(&self, history: &History, user: &str, wish: Wish, (since, now): (usize, usize)) -> Verdict {
        if history.is_inside(user, now) {
            check(self.whole, || "the client was not told of a room that they are in".to_owned())?;
            return self.is_right(history, user, wish, now);
        }
        let (before, after) = (history.membership(user, since), history.membership(user, now));
        let went_out = before != after && matches!(after, "leave" | "ban") && matches!(wish, Wish::Sync { .. });
        check(!went_out, || format!("the client was not told that {before} became {after}"))
    }
}

fn may_be_told(history: &History, user: &str, part: &Part, now: usize) -> Verdict {
    let tellable: BTreeSet<String> = history.tellable(user, now);
    for id in ids(&part.timeline) {
        let i = history.after(&id).ok_or("an event of another room")? - 1;
        let own = key(&history.events[i]) == Some(member(user)) && !part.inside;
        check(own || history.sees(user, i, now), || format!("{id} ({i}) is not theirs to see"))?;
    }
    for id in ids(&part.state) {
        check(tellable.contains(&id), || format!("the state event {id} is not theirs to know"))?;
    }
    Ok(())
}

/// The room's part of an answer, where it has one that tells of events.
fn part(history: &History, user: &str, wish: Wish, told: &Told, now: usize) -> Option<Part> {
    let rooms = &told.answer["rooms"];
    if matches!(wish, Wish::Sliding { .. }) {
        let room = &rooms[&history.room];
        let tells = room["required_state"].is_array() || room["timeline"].is_array();
        return tells.then(|| Part {
            timeline: list(&room["timeline"]),
            state: list(&room["required_state"]),
            at_end: true,
            inside: history.is_inside(user, now),
            initial: room["initial"] == true,
        });
    }
    let (room, inside) = match (&rooms["join"][&history.room], &rooms["leave"][&history.room]) {
        (room, _) if room.is_object() => (room, true),
        (_, room) if room.is_object() => (room, false),
        _ => return None,
    };
    let at_end = room["state_after"].is_object();
    let state = if at_end { &room["state_after"] } else { &room["state"] };
    Some(Part {
        timeline: list(&room["timeline"]["events"]),
        state: list(&state["events"]),
        at_end,
        inside,
        initial: false,
    })
}
