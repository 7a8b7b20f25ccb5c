//! An event with an id.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use super::{
    EventRef, FormatError, Untrusted,
    content::{AuthContent, Create, JoinRules, Member, PowerLevels, ThirdPartyInvite},
    format, reference,
};
use crate::{
    canonical_json::{Object, Value, parse_object, parse_object_without},
    hash, redaction,
    room_version::RoomRules,
    signature::Signer,
};

/// A persistent data unit: an event of ours, or one whose signatures were verified. Cheap to clone.
#[derive(Clone)]
pub struct Pdu(Arc<Inner>);

struct Inner {
    rules: &'static RoomRules,
    event_id: Box<str>,
    room_id: Box<str>,
    states_room_id: bool,
    kind: Box<str>,
    sender: Box<str>,
    state_key: Option<Box<str>>,
    redacts: Option<Box<str>>,
    prev_events: Box<[Box<str>]>,
    auth_events: Box<[Box<str>]>,
    depth: u64,
    origin_server_ts: i64,
    content: Object,
    json: Box<str>,
    auth_content: OnceLock<AuthContent>,
}

impl Pdu {
    /// Reads an event from our own database: nothing is verified again.
    ///
    /// `event_id` saves computing the id where it is known from beside the event.
    ///
    /// # Errors
    /// If it is no event after all.
    pub fn parse_trusted(rules: &'static RoomRules, json: &str, event_id: Option<&str>) -> Result<Self, FormatError> {
        Self::assemble(rules, parse_object_without(json.as_bytes(), rules.numbers, "unsigned")?, event_id)
    }

    /// From an event without `unsigned`, whose hash and signatures are settled.
    pub(super) fn assemble(
        rules: &'static RoomRules,
        mut event: Object,
        event_id: Option<&str>,
    ) -> Result<Self, FormatError> {
        let event_id: Box<str> = match event_id {
            Some(event_id) => event_id.into(),
            None => compute_event_id(rules, &event)?,
        };
        let room_id: Box<str> = if rules.room_id_is_create_hash && format::is_create(&event) {
            format!("!{}", event_id.trim_start_matches('$')).into()
        } else {
            format::identifier(&event, "room_id")?.into()
        };
        let json = event.to_canonical().into_boxed_str();
        let redacts = if rules.redaction.redacts_in_content {
            event.get_object("content").and_then(|content| content.get_str("redacts"))
        } else {
            event.get_str("redacts")
        };
        Ok(Self(Arc::new(Inner {
            rules,
            event_id,
            room_id,
            states_room_id: event.contains_key("room_id"),
            redacts: redacts.map(Into::into),
            prev_events: reference::read_ids(rules, &event, "prev_events")?,
            auth_events: reference::read_ids(rules, &event, "auth_events")?,
            depth: format::depth(&event)?,
            origin_server_ts: format::timestamp(&event)?,
            kind: take_text(&mut event, "type")?.ok_or(FormatError::Missing("type"))?,
            sender: take_text(&mut event, "sender")?.ok_or(FormatError::Missing("sender"))?,
            state_key: take_text(&mut event, "state_key")?,
            content: match event.remove("content") {
                Some(Value::Object(content)) => content,
                Some(_) => return Err(FormatError::WrongType("content")),
                None => return Err(FormatError::Missing("content")),
            },
            json,
            auth_content: OnceLock::new(),
        })))
    }

    /// The rules of the room's version.
    pub fn rules(&self) -> &'static RoomRules {
        self.0.rules
    }

    /// The event's id.
    pub fn event_id(&self) -> &str {
        &self.0.event_id
    }

    /// The room's id; of a create event since room version 12, made of its own id.
    pub fn room_id(&self) -> &str {
        &self.0.room_id
    }

    /// Whether the event itself says its room, which a create event since room version 12 must not.
    pub fn states_room_id(&self) -> bool {
        self.0.states_room_id
    }

    /// The event's `type`.
    pub fn kind(&self) -> &str {
        &self.0.kind
    }

    /// The user who sent it.
    pub fn sender(&self) -> &str {
        &self.0.sender
    }

    /// The state key; `None` for what is no state event.
    pub fn state_key(&self) -> Option<&str> {
        self.0.state_key.as_deref()
    }

    /// The content.
    pub fn content(&self) -> &Object {
        &self.0.content
    }

    /// The ids of the events before it.
    pub fn prev_events(&self) -> &[Box<str>] {
        &self.0.prev_events
    }

    /// The ids of the events that permit it.
    pub fn auth_events(&self) -> &[Box<str>] {
        &self.0.auth_events
    }

    /// The depth, as its sender chose it: never to be trusted for order.
    pub fn depth(&self) -> u64 {
        self.0.depth
    }

    /// The sending server's clock, in milliseconds since the Unix epoch.
    pub fn origin_server_ts(&self) -> i64 {
        self.0.origin_server_ts
    }

    /// The id of the event that this one redacts, from wherever the room version keeps it.
    pub fn redacts(&self) -> Option<&str> {
        self.0.redacts.as_deref()
    }

    /// The event in federation format as canonical JSON, with hashes and signatures, without `unsigned`.
    pub fn json(&self) -> &str {
        &self.0.json
    }

    /// Whether this is the state event of the given type and state key.
    pub fn is_state(&self, kind: &str, state_key: &str) -> bool {
        self.kind() == kind && self.state_key() == Some(state_key)
    }

    /// How another event names this one.
    pub fn reference(&self) -> EventRef {
        let hash = || Some(hash::reference_hash(self.rules(), &self.object().ok()?));
        let sha256 = if self.rules().references_carry_hashes() { hash() } else { None };
        EventRef { event_id: self.0.event_id.clone(), sha256 }
    }

    /// The redacted copy: same id, same signatures, only what the room needs.
    ///
    /// # Errors
    /// None that occur: what was an event is one after redaction.
    pub fn redacted(&self) -> Result<Self, FormatError> {
        Self::assemble(self.rules(), redaction::redact(self.rules(), &self.object()?), Some(self.event_id()))
    }

    /// A copy that `signer` has signed too: for invites to our users, and joins that a user of ours permits.
    ///
    /// # Errors
    /// If the event grows beyond the limit.
    pub fn sign_too(&self, signer: &Signer) -> Result<Self, FormatError> {
        let mut event = self.object()?;
        let signature = signer.sign(hash::essential_text(self.rules(), &event).as_bytes());
        signer.add_signature(&mut event, signature);
        Self::assemble(self.rules(), event, Some(self.event_id()))?.within_limits()
    }

    /// The event as it would come from another server, to be verified.
    ///
    /// # Errors
    /// If it breaks a limit that holds for new events only.
    pub fn to_untrusted(&self) -> Result<Untrusted, FormatError> {
        Untrusted::parse(self.rules(), self.json().as_bytes())
    }

    /// The content of a create event.
    pub fn create(&self) -> Option<&Create> {
        if let AuthContent::Create(content) = self.auth_content() { Some(content) } else { None }
    }

    /// The content of a power levels event.
    pub fn power_levels(&self) -> Option<&PowerLevels> {
        if let AuthContent::PowerLevels(content) = self.auth_content() { Some(content) } else { None }
    }

    /// The content of a membership event.
    pub fn member(&self) -> Option<&Member> {
        if let AuthContent::Member(content) = self.auth_content() { Some(content) } else { None }
    }

    /// The content of a join rules event.
    pub fn join_rules(&self) -> Option<&JoinRules> {
        if let AuthContent::JoinRules(content) = self.auth_content() { Some(content) } else { None }
    }

    /// The content of an invitation to a third-party identifier.
    pub fn third_party_invite(&self) -> Option<&ThirdPartyInvite> {
        if let AuthContent::ThirdPartyInvite(content) = self.auth_content() { Some(content) } else { None }
    }

    /// Refuses what is larger than an event may be.
    pub(super) fn within_limits(self) -> Result<Self, FormatError> {
        let size = self.json().len();
        if size > format::MAX_EVENT_BYTES { Err(FormatError::TooLarge(size)) } else { Ok(self) }
    }

    fn auth_content(&self) -> &AuthContent {
        self.0
            .auth_content
            .get_or_init(|| AuthContent::read(self.rules(), self.kind(), self.state_key(), self.content()))
    }

    fn object(&self) -> Result<Object, FormatError> {
        Ok(parse_object(self.json().as_bytes(), self.rules().numbers)?)
    }
}

impl PartialEq for Pdu {
    /// Events are the same if their ids are.
    fn eq(&self, other: &Self) -> bool {
        self.event_id() == other.event_id()
    }
}

impl Eq for Pdu {}

impl fmt::Debug for Pdu {
    /// Names the event; its content is nobody's business in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pdu")
            .field("event_id", &self.event_id())
            .field("kind", &self.kind())
            .field("state_key", &self.state_key())
            .finish_non_exhaustive()
    }
}

/// The id: part of the event in room versions 1 and 2, the reference hash since.
pub(super) fn compute_event_id(rules: &RoomRules, event: &Object) -> Result<Box<str>, FormatError> {
    if rules.references_carry_hashes() {
        return Ok(format::identifier(event, "event_id")?.into());
    }
    let id = hash::event_id(rules, &hash::reference_hash(rules, event));
    Ok(id.ok_or(FormatError::Missing("event_id"))?.into())
}

fn take_text(event: &mut Object, key: &'static str) -> Result<Option<Box<str>>, FormatError> {
    match event.remove(key) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(FormatError::WrongType(key)),
    }
}
