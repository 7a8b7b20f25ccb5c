//! How one event names another.

use super::FormatError;
use crate::{
    base64,
    canonical_json::{Object, Value},
    room_version::RoomRules,
};

/// An entry of `prev_events` or `auth_events`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRef {
    /// The event's id.
    pub event_id: Box<str>,
    /// Its reference hash, where the id itself is none (room versions 1 and 2).
    pub sha256: Option<[u8; 32]>,
}

impl From<&str> for EventRef {
    fn from(event_id: &str) -> Self {
        Self { event_id: event_id.into(), sha256: None }
    }
}

impl EventRef {
    /// As it stands in an event: `"$id"`, or `["$id", {"sha256": "…"}]` in room versions 1 and 2.
    pub(super) fn into_value(self, rules: &RoomRules) -> Value {
        if !rules.references_carry_hashes() {
            return Value::String(self.event_id);
        }
        let hash = self.sha256.map(|hash| ("sha256", base64::encode(&hash)));
        Value::Array(vec![Value::String(self.event_id), hash.into_iter().collect::<Object>().into()])
    }
}

/// The ids under `key`.
pub(super) fn read_ids(rules: &RoomRules, event: &Object, key: &'static str) -> Result<Box<[Box<str>]>, FormatError> {
    let entries = event.get(key).ok_or(FormatError::Missing(key))?;
    let entries = entries.as_array().ok_or(FormatError::WrongType(key))?;
    entries
        .iter()
        .map(|entry| {
            let id =
                if rules.references_carry_hashes() { entry.as_array().and_then(<[_]>::first) } else { Some(entry) };
            id.and_then(Value::as_str).map(Box::from).ok_or(FormatError::WrongType(key))
        })
        .collect()
}
