//! The conditions of `override` and `underride` rules, as the API shows them.
//!
//! **Invariant:** a condition that is unknown, or known but malformed, is kept byte for byte in meaning and matches
//! nothing; it never makes the whole ruleset unreadable.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value, json};

use crate::canonical_json;

/// The largest integer of canonical JSON, `2^53 - 1`.
const MAX_INTEGER: i64 = (1 << 53) - 1;

/// A value that `event_property_is` and `event_property_contains` can compare with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scalar {
    /// `null`.
    Null,
    /// A boolean.
    Bool(bool),
    /// An integer in the range of canonical JSON.
    Integer(i64),
    /// A string.
    String(String),
}

impl Scalar {
    /// The scalar that `value` is; `None` for objects, arrays and numbers outside canonical JSON.
    pub fn from_json(value: &Value) -> Option<Self> {
        match value {
            Value::Null => Some(Self::Null),
            Value::Bool(value) => Some(Self::Bool(*value)),
            Value::Number(number) => {
                number.as_i64().filter(|number| (-MAX_INTEGER..=MAX_INTEGER).contains(number)).map(Self::Integer)
            }
            Value::String(value) => Some(Self::String(value.clone())),
            Value::Array(_) | Value::Object(_) => None,
        }
    }

    /// The same of a canonical value.
    pub(super) fn from_canonical(value: &canonical_json::Value) -> Option<Self> {
        match value {
            canonical_json::Value::Null => Some(Self::Null),
            canonical_json::Value::Bool(value) => Some(Self::Bool(*value)),
            canonical_json::Value::Integer(value) => {
                (-MAX_INTEGER..=MAX_INTEGER).contains(value).then_some(Self::Integer(*value))
            }
            canonical_json::Value::String(value) => Some(Self::String(value.as_ref().to_owned())),
            _ => None,
        }
    }

    fn to_json(&self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::from(*value),
            Self::Integer(value) => Value::from(*value),
            Self::String(value) => Value::from(value.as_str()),
        }
    }
}

/// The `is` of `room_member_count`: a comparison with a number of joined members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberCount {
    /// `"2"` or `"==2"`.
    Equal(u64),
    /// `"<2"`.
    Less(u64),
    /// `">2"`.
    Greater(u64),
    /// `"<=2"`.
    AtMost(u64),
    /// `">=2"`.
    AtLeast(u64),
}

impl MemberCount {
    /// Parses a decimal integer with an optional prefix of `==`, `<`, `>`, `<=` or `>=`.
    pub fn parse(is: &str) -> Option<Self> {
        let digits = is.trim_start_matches(['=', '<', '>']);
        // `u64::from_str` takes a leading plus sign; the protocol does not.
        let count = digits.parse().ok().filter(|_: &u64| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
        match is.get(..is.len() - digits.len())? {
            "" | "==" => Some(Self::Equal(count)),
            "<" => Some(Self::Less(count)),
            ">" => Some(Self::Greater(count)),
            "<=" => Some(Self::AtMost(count)),
            ">=" => Some(Self::AtLeast(count)),
            _ => None,
        }
    }

    /// Whether a room with this many joined members fits.
    pub fn contains(self, members: u64) -> bool {
        match self {
            Self::Equal(count) => members == count,
            Self::Less(count) => members < count,
            Self::Greater(count) => members > count,
            Self::AtMost(count) => members <= count,
            Self::AtLeast(count) => members >= count,
        }
    }
}

/// A condition; all of a rule's conditions must hold for it to match.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// `event_match`: a case-insensitive glob over a string property.
    EventMatch {
        /// Dot-separated path of the property.
        key: String,
        /// The glob.
        pattern: String,
    },
    /// `event_property_is`: a property has exactly this value.
    EventPropertyIs {
        /// Dot-separated path of the property.
        key: String,
        /// The value.
        value: Scalar,
    },
    /// `event_property_contains`: an array property contains exactly this value.
    EventPropertyContains {
        /// Dot-separated path of the property.
        key: String,
        /// The value.
        value: Scalar,
    },
    /// `contains_display_name` (deprecated): `content.body` contains the user's display name as a word.
    ContainsDisplayName,
    /// `room_member_count`: the number of joined members.
    RoomMemberCount {
        /// The comparison as the client wrote it.
        is: String,
        /// The same, parsed.
        count: MemberCount,
    },
    /// `sender_notification_permission`: the sender's power suffices for this kind of notification.
    SenderNotificationPermission {
        /// The key in `notifications` of the power levels, such as `room`.
        key: String,
    },
    /// Anything else; never matches.
    Unknown(Map<String, Value>),
}

impl Condition {
    /// Whether it is of no kind, or of a known one and not as that must be: kept where it is stored, and nothing to take on.
    pub fn is_malformed(&self) -> bool {
        const KNOWN: [&str; 6] = [
            "event_match",
            "event_property_is",
            "event_property_contains",
            "contains_display_name",
            "room_member_count",
            "sender_notification_permission",
        ];
        match self {
            Self::Unknown(object) => {
                object.get("kind").and_then(Value::as_str).is_none_or(|kind| KNOWN.contains(&kind))
            }
            _ => false,
        }
    }

    fn from_object(object: Map<String, Value>) -> Self {
        Self::known(&object).unwrap_or(Self::Unknown(object))
    }

    fn known(object: &Map<String, Value>) -> Option<Self> {
        let string = |name: &str| object.get(name).and_then(Value::as_str).map(str::to_owned);
        let value = || object.get("value").and_then(Scalar::from_json);
        match object.get("kind")?.as_str()? {
            "event_match" => Some(Self::EventMatch { key: string("key")?, pattern: string("pattern")? }),
            "event_property_is" => Some(Self::EventPropertyIs { key: string("key")?, value: value()? }),
            "event_property_contains" => Some(Self::EventPropertyContains { key: string("key")?, value: value()? }),
            "contains_display_name" => Some(Self::ContainsDisplayName),
            "room_member_count" => {
                let is = string("is")?;
                Some(Self::RoomMemberCount { count: MemberCount::parse(&is)?, is })
            }
            "sender_notification_permission" => Some(Self::SenderNotificationPermission { key: string("key")? }),
            _ => None,
        }
    }

    fn to_json(&self) -> Value {
        match self {
            Self::EventMatch { key, pattern } => json!({"kind": "event_match", "key": key, "pattern": pattern}),
            Self::EventPropertyIs { key, value } => {
                json!({"kind": "event_property_is", "key": key, "value": value.to_json()})
            }
            Self::EventPropertyContains { key, value } => {
                json!({"kind": "event_property_contains", "key": key, "value": value.to_json()})
            }
            Self::ContainsDisplayName => json!({"kind": "contains_display_name"}),
            Self::RoomMemberCount { is, .. } => json!({"kind": "room_member_count", "is": is}),
            Self::SenderNotificationPermission { key } => {
                json!({"kind": "sender_notification_permission", "key": key})
            }
            Self::Unknown(object) => Value::Object(object.clone()),
        }
    }
}

impl Serialize for Condition {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_json().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Condition {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Map::deserialize(deserializer).map(Self::from_object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(value: Value) -> Condition {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn every_kind_survives_a_round_trip() {
        for value in [
            json!({"kind": "event_match", "key": "content.body", "pattern": "cake*"}),
            json!({"kind": "event_property_is", "key": "a", "value": null}),
            json!({"kind": "event_property_contains", "key": "a", "value": 7}),
            json!({"kind": "contains_display_name"}),
            json!({"kind": "room_member_count", "is": "<=10"}),
            json!({"kind": "sender_notification_permission", "key": "room"}),
            json!({"kind": "org.example.moon_phase", "phase": {"full": true}}),
        ] {
            assert_eq!(serde_json::to_value(condition(value.clone())).unwrap(), value);
        }
    }

    #[test]
    fn a_malformed_condition_is_unknown_and_kept() {
        for value in [
            json!({"kind": "event_match", "key": "type"}),
            json!({"kind": "event_property_is", "key": "a", "value": [1]}),
            json!({"kind": "event_property_is", "key": "a", "value": 9_007_199_254_740_992_i64}),
            json!({"kind": "room_member_count", "is": "many"}),
            json!({"kind": 4}),
            json!({}),
        ] {
            let parsed = condition(value.clone());
            assert!(matches!(parsed, Condition::Unknown(_)) && parsed.is_malformed(), "{value}");
            assert_eq!(serde_json::to_value(parsed).unwrap(), value);
        }
    }

    #[test]
    fn what_later_versions_bring_is_not_malformed() {
        assert!(!condition(json!({"kind": "org.example.moon_phase"})).is_malformed());
        assert!(!condition(json!({"kind": "contains_display_name"})).is_malformed());
    }

    #[test]
    fn member_counts_compare_as_written() {
        for (is, fits, misfit) in [("2", 2, 3), ("==2", 2, 1), ("<2", 1, 2), (">2", 3, 2), ("<=2", 2, 3), (">=2", 2, 1)]
        {
            let count = MemberCount::parse(is).unwrap();
            assert!(count.contains(fits) && !count.contains(misfit), "{is}");
        }
        for bad in ["", "=2", "=>2", "<>2", "2x", "+2", "-2", "== 2", "<", "99999999999999999999"] {
            assert_eq!(MemberCount::parse(bad), None, "{bad}");
        }
    }
}
