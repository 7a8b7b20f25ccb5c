//! A room for tests: its state, and the verdict on what someone tries in it.

use std::collections::HashMap;

use super::{Rejection, StateView, check};
use crate::{
    canonical_json::{Numbers, Object, parse_object},
    event::{Draft, EventRef, Pdu},
    room_version::RoomVersion,
    signature::Signer,
};

/// Created the room.
pub(super) const ALICE: &str = "@alice:a.org";
/// Someone else of the same server.
pub(super) const BOB: &str = "@bob:a.org";
/// Someone of another server.
pub(super) const CAROL: &str = "@carol:b.org";

/// A room in which Alice is.
pub(super) struct Room {
    pub(super) version: RoomVersion,
    state: HashMap<(String, String), Pdu>,
}

impl StateView for Room {
    fn event(&self, kind: &str, state_key: &str) -> Option<&Pdu> {
        self.state.get(&(kind.to_owned(), state_key.to_owned()))
    }
}

impl Room {
    pub(super) fn new(version: RoomVersion) -> Self {
        Self::created_with(version, r#"{"creator":"@alice:a.org"}"#)
    }

    pub(super) fn created_with(version: RoomVersion, create: &str) -> Self {
        let room = Self { version, state: HashMap::new() };
        room.with("m.room.create", ALICE, "", create).with_member(ALICE, "join")
    }

    pub(super) fn with(mut self, kind: &str, sender: &str, state_key: &str, content: &str) -> Self {
        let event = self.make(kind, sender, Some(state_key), content);
        self.state.insert((kind.into(), state_key.into()), event);
        self
    }

    pub(super) fn with_member(self, user: &str, membership: &str) -> Self {
        self.with("m.room.member", user, user, &format!(r#"{{"membership":"{membership}"}}"#))
    }

    pub(super) fn with_levels(self, levels: &str) -> Self {
        self.with("m.room.power_levels", ALICE, "", levels)
    }

    pub(super) fn with_join_rule(self, rule: &str) -> Self {
        self.with("m.room.join_rules", ALICE, "", &format!(r#"{{"join_rule":"{rule}"}}"#))
    }

    /// An event of this room, signed but not checked.
    pub(super) fn make(&self, kind: &str, sender: &str, state_key: Option<&str>, content: &str) -> Pdu {
        self.make_after("$prev:a.org", kind, sender, state_key, content)
    }

    fn make_after(&self, prev: &str, kind: &str, sender: &str, state_key: Option<&str>, content: &str) -> Pdu {
        let is_create = kind == "m.room.create";
        let draft = Draft {
            room_id: Some(self.event("m.room.create", "").map_or("!r:a.org", Pdu::room_id).into()),
            kind: kind.into(),
            sender: sender.into(),
            state_key: state_key.map(Into::into),
            content: object(content),
            prev_events: if is_create { vec![] } else { vec![EventRef::from(prev)] },
            redacts: (kind == "m.room.redaction").then(|| "$x:a.org".into()),
            ..Draft::default()
        };
        let server = sender.split_once(':').unwrap().1;
        draft.sign(self.version.rules(), &Signer::new(server, "ed25519:1", &[1; 32])).unwrap()
    }

    pub(super) fn check(&self, event: &Pdu) -> Result<(), Rejection> {
        check(self.version.rules(), event, self)
    }

    pub(super) fn send(&self, sender: &str, kind: &str) -> Result<(), Rejection> {
        self.check(&self.make(kind, sender, None, "{}"))
    }

    pub(super) fn set(&self, sender: &str, kind: &str, state_key: &str, content: &str) -> Result<(), Rejection> {
        self.check(&self.make(kind, sender, Some(state_key), content))
    }

    pub(super) fn membership(&self, sender: &str, target: &str, membership: &str) -> Result<(), Rejection> {
        self.set(sender, "m.room.member", target, &format!(r#"{{"membership":"{membership}"}}"#))
    }

    /// The creator's first join, straight after the create event.
    pub(super) fn first_join(&self, user: &str) -> Result<(), Rejection> {
        let create = self.event("m.room.create", "").unwrap();
        self.check(&self.make_after(create.event_id(), "m.room.member", user, Some(user), r#"{"membership":"join"}"#))
    }
}

pub(super) fn object(json: &str) -> Object {
    parse_object(json.as_bytes(), Numbers::Strict).unwrap()
}
