//! An event of ours before it has a hash.

use super::{EventRef, FormatError, Pdu, format};
use crate::{
    base64,
    canonical_json::{Object, Value},
    hash, ident,
    room_version::RoomRules,
    signature::Signer,
};

/// What a local user wants to say, and where in the room it stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Draft {
    /// The room; left out of what is sent for a create event since room version 12, whose hash becomes the room's id.
    pub room_id: Option<String>,
    /// The event's `type`.
    pub kind: String,
    /// The user who sends it.
    pub sender: String,
    /// The state key of a state event.
    pub state_key: Option<String>,
    /// The content.
    pub content: Object,
    /// The events before it.
    pub prev_events: Vec<EventRef>,
    /// The events that permit it; see [`crate::auth::selection`].
    pub auth_events: Vec<EventRef>,
    /// One more than the greatest depth before it; cut to what the room version allows.
    pub depth: u64,
    /// Our clock, in milliseconds since the Unix epoch.
    pub origin_server_ts: i64,
    /// The event that a redaction redacts; put where the room version wants it.
    pub redacts: Option<String>,
}

impl Draft {
    /// Hashes and signs the event.
    ///
    /// # Errors
    /// If the content holds what the room version forbids, or a limit of size is passed.
    pub fn sign(self, rules: &'static RoomRules, signer: &Signer) -> Result<Pdu, FormatError> {
        let mut event = self.into_object(rules)?;
        if rules.references_carry_hashes() {
            event.insert("event_id", domain_id(&event, signer));
        }
        event.insert("hashes", Object::from([("sha256", base64::encode(&hash::content_hash(&event)))]));

        // One text serves both: it is what is signed, and its hash is the event's id.
        let essential = hash::essential_text(rules, &event);
        signer.add_signature(&mut event, signer.sign(essential.as_bytes()));
        let event_id = match hash::event_id(rules, &hash::sha256(essential.as_bytes())) {
            Some(event_id) => event_id,
            None => format::identifier(&event, "event_id")?.to_owned(),
        };
        Pdu::assemble(rules, event, Some(&event_id))?.within_limits()
    }

    fn into_object(mut self, rules: &RoomRules) -> Result<Object, FormatError> {
        if rules.room_id_is_create_hash && self.kind == "m.room.create" && self.state_key.as_deref() == Some("") {
            self.room_id = None;
        }
        if rules.redaction.redacts_in_content
            && let Some(redacts) = self.redacts.take()
        {
            self.content.insert("redacts", redacts);
        }
        self.content.check(rules.numbers)?;
        let depth = self.depth.min(rules.max_depth());
        let references = |list: Vec<EventRef>| Value::Array(list.into_iter().map(|to| to.into_value(rules)).collect());
        let optional = |key, text: Option<String>| text.map(|text| (key, text.into()));

        // In canonical order, so that nothing has to be sorted.
        let event: Object = [
            Some(("auth_events", references(self.auth_events))),
            Some(("content", self.content.into())),
            Some(("depth", Value::Integer(depth.try_into().unwrap_or(i64::MAX)))),
            Some(("origin_server_ts", self.origin_server_ts.into())),
            Some(("prev_events", references(self.prev_events))),
            optional("redacts", self.redacts),
            optional("room_id", self.room_id),
            Some(("sender", self.sender.into())),
            optional("state_key", self.state_key),
            Some(("type", self.kind.into())),
        ]
        .into_iter()
        .flatten()
        .collect();
        format::check_new(rules, &event)?;
        Ok(event)
    }
}

/// An event id of our own domain for room versions 1 and 2: unique because what it is made of is.
fn domain_id(event: &Object, signer: &Signer) -> String {
    let hash = hash::sha256(event.to_canonical().as_bytes());
    let mut id = format!("${}:{}", base64::encode_url_safe(&hash[..18]), signer.server_name());
    // A server name near the limit leaves less room for the rest.
    let excess = id.len().saturating_sub(ident::MAX_BYTES).min(16);
    id.replace_range(1..=excess, "");
    id
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::room_version::RoomVersion;

    fn draft() -> Draft {
        Draft {
            room_id: Some("!r:a.org".into()),
            kind: "m.room.message".into(),
            sender: "@u:a.org".into(),
            content: Object::from([("body", "hi")]),
            prev_events: vec!["$p".into()],
            origin_server_ts: 1,
            ..Draft::default()
        }
    }

    fn signer() -> Signer {
        Signer::new("a.org", "ed25519:1", &[7; 32])
    }

    #[test]
    fn the_id_of_a_signed_draft_is_the_one_that_a_reader_computes() {
        for version in RoomVersion::ALL {
            let signed = draft().sign(version.rules(), &signer()).unwrap();
            let read = Pdu::parse_trusted(version.rules(), signed.json(), None).unwrap();
            assert_eq!(read.event_id(), signed.event_id(), "{version}");
            assert_eq!(read.json(), signed.json());
            assert_eq!(read.prev_events(), [Box::from("$p")]);
        }
    }

    #[test]
    fn the_room_id_of_version_12_is_the_create_events_hash() {
        let draft =
            Draft { kind: "m.room.create".into(), state_key: Some(String::new()), prev_events: vec![], ..draft() };
        let create = draft.clone().sign(RoomVersion::V12.rules(), &signer()).unwrap();
        assert_eq!(create.room_id()[1..], create.event_id()[1..]);
        assert!(!create.json().contains("room_id"));
        let older = draft.sign(RoomVersion::V11.rules(), &signer()).unwrap();
        assert_eq!(older.room_id(), "!r:a.org");
    }

    #[test]
    fn what_a_redaction_redacts_stands_where_the_version_wants_it() {
        for version in RoomVersion::ALL {
            let draft = Draft { redacts: Some("$x".into()), kind: "m.room.redaction".into(), ..draft() };
            let signed = draft.sign(version.rules(), &signer()).unwrap();
            assert_eq!(signed.redacts(), Some("$x"));
            assert_eq!(signed.content().contains_key("redacts"), version >= RoomVersion::V11);
        }
    }

    #[test]
    fn limits_of_size_hold() {
        let rules = RoomVersion::V12.rules();
        let long = "x".repeat(256);
        let refused = |draft: Draft| draft.sign(rules, &signer()).unwrap_err();
        assert_eq!(refused(Draft { kind: long.clone(), ..draft() }), FormatError::TooLong("type"));
        assert_eq!(refused(Draft { state_key: Some(long.clone()), ..draft() }), FormatError::TooLong("state_key"));
        assert_eq!(refused(Draft { room_id: Some(format!("!{long}")), ..draft() }), FormatError::TooLong("room_id"));
        let content = Object::from([("body", "x".repeat(65_536))]);
        assert!(matches!(refused(Draft { content, ..draft() }), FormatError::TooLarge(_)));
        let content = Object::from([("n", 1_i64 << 60)]);
        assert!(matches!(refused(Draft { content, ..draft() }), FormatError::Json(_)));
    }
}
