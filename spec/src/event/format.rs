//! What every event must look like, and the limits on its size.

use crate::{
    canonical_json::{Error as JsonError, Object, Value},
    ident,
    room_version::RoomRules,
};

/// The largest event, as canonical JSON with its signatures, in bytes.
pub const MAX_EVENT_BYTES: usize = 65_536;
/// The most `prev_events` an event may have.
pub const MAX_PREV_EVENTS: usize = 20;
/// The most `auth_events` an event may have.
pub const MAX_AUTH_EVENTS: usize = 10;

/// Why something is no event, or none that may be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// It is no acceptable JSON object.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// A key that every event has is not there.
    #[error("the event has no `{0}`")]
    Missing(&'static str),
    /// A key has a value of the wrong type, or out of range.
    #[error("the event's `{0}` is not what the room version says it must be")]
    WrongType(&'static str),
    /// A key is larger than [`ident::MAX_BYTES`].
    #[error("the event's `{0}` is larger than 255 bytes")]
    TooLong(&'static str),
    /// A list has more entries than allowed.
    #[error("the event has too many `{0}`")]
    TooMany(&'static str),
    /// The event is larger than [`MAX_EVENT_BYTES`].
    #[error("the event is {0} bytes large, 65536 are allowed")]
    TooLarge(usize),
    /// The sender is no user id.
    #[error("the event's `sender` is not a user id")]
    InvalidSender,
}

/// Checks what depends on neither keys nor state: types, limits, and that the sender is a user.
pub(super) fn check(rules: &RoomRules, event: &Object) -> Result<(), FormatError> {
    if rules.references_carry_hashes() && !identifier(event, "event_id")?.starts_with('$') {
        return Err(FormatError::WrongType("event_id"));
    }
    check_new(rules, event)
}

/// As [`check`], for an event of ours that has no id yet.
pub(super) fn check_new(rules: &RoomRules, event: &Object) -> Result<(), FormatError> {
    identifier(event, "type")?;
    if !ident::is_user_id(identifier(event, "sender")?) {
        return Err(FormatError::InvalidSender);
    }
    if !(rules.room_id_is_create_hash && is_create(event)) {
        identifier(event, "room_id")?;
    }
    if event.contains_key("state_key") {
        identifier(event, "state_key")?;
    }
    event
        .get("content")
        .ok_or(FormatError::Missing("content"))?
        .as_object()
        .ok_or(FormatError::WrongType("content"))?;
    list(event, "prev_events", MAX_PREV_EVENTS)?;
    list(event, "auth_events", MAX_AUTH_EVENTS)?;
    let depth = depth(event)?;
    if depth > rules.max_depth() {
        return Err(FormatError::WrongType("depth"));
    }
    timestamp(event).map(drop)
}

/// The text under `key`, which must be there and must not be larger than an identifier.
pub(super) fn identifier<'a>(event: &'a Object, key: &'static str) -> Result<&'a str, FormatError> {
    let text = event.get(key).ok_or(FormatError::Missing(key))?.as_str().ok_or(FormatError::WrongType(key))?;
    if text.len() > ident::MAX_BYTES { Err(FormatError::TooLong(key)) } else { Ok(text) }
}

pub(super) fn depth(event: &Object) -> Result<u64, FormatError> {
    integer(event, "depth")?.try_into().map_err(|_| FormatError::WrongType("depth"))
}

pub(super) fn timestamp(event: &Object) -> Result<i64, FormatError> {
    integer(event, "origin_server_ts")
}

/// Whether this is an event that creates a room.
pub(super) fn is_create(event: &Object) -> bool {
    event.get_str("type") == Some("m.room.create") && event.get_str("state_key") == Some("")
}

fn integer(event: &Object, key: &'static str) -> Result<i64, FormatError> {
    event.get(key).ok_or(FormatError::Missing(key))?.as_integer().ok_or(FormatError::WrongType(key))
}

fn list(event: &Object, key: &'static str, most: usize) -> Result<(), FormatError> {
    match event.get(key) {
        None => Err(FormatError::Missing(key)),
        Some(Value::Array(entries)) if entries.len() > most => Err(FormatError::TooMany(key)),
        Some(Value::Array(_)) => Ok(()),
        Some(_) => Err(FormatError::WrongType(key)),
    }
}
