//! `m.room.power_levels`

use super::Field;
use crate::{
    canonical_json::{Object, Value},
    room_version::RoomRules,
};

/// The content of a power levels event. Levels that are absent have defaults, which are not applied here.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PowerLevels {
    /// `ban`
    pub ban: Field<i64>,
    /// `invite`
    pub invite: Field<i64>,
    /// `kick`
    pub kick: Field<i64>,
    /// `redact`
    pub redact: Field<i64>,
    /// `events_default`
    pub events_default: Field<i64>,
    /// `state_default`
    pub state_default: Field<i64>,
    /// `users_default`
    pub users_default: Field<i64>,
    /// `events`: by event type.
    pub events: Field<Levels>,
    /// `users`: by user id.
    pub users: Field<Levels>,
    /// `notifications`: by the kind of notification, such as `room`.
    pub notifications: Field<Levels>,
}

/// Levels by name, ordered by name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Levels(Vec<(Box<str>, i64)>);

impl Levels {
    /// The level under `name`.
    pub fn get(&self, name: &str) -> Option<i64> {
        self.0.binary_search_by(|(candidate, _)| (**candidate).cmp(name)).ok().map(|index| self.0[index].1)
    }

    /// All levels in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, i64)> {
        self.0.iter().map(|(name, level)| (&**name, *level))
    }
}

impl<'a> FromIterator<(&'a str, i64)> for Levels {
    fn from_iter<I: IntoIterator<Item = (&'a str, i64)>>(levels: I) -> Self {
        let mut levels: Vec<(Box<str>, i64)> = levels.into_iter().map(|(name, level)| (name.into(), level)).collect();
        levels.sort_by(|one, other| one.0.cmp(&other.0));
        Self(levels)
    }
}

impl PowerLevels {
    /// Reads a content as the room version says: only integers, or also what older servers wrote.
    pub fn read(rules: &RoomRules, content: &Object) -> Self {
        let level = if rules.auth.integer_power_levels { Value::as_integer } else { lenient_level };
        let one = |key| Field::read(content, key, level);
        let levels = |value: &Value| {
            // The object is ordered, so the levels are.
            let levels = value.as_object()?.iter().map(|(name, value)| Some((name.into(), level(value)?)));
            levels.collect::<Option<Vec<_>>>().map(Levels)
        };
        let many = |key| Field::read(content, key, levels);
        Self {
            ban: one("ban"),
            invite: one("invite"),
            kick: one("kick"),
            redact: one("redact"),
            events_default: one("events_default"),
            state_default: one("state_default"),
            users_default: one("users_default"),
            events: many("events"),
            users: many("users"),
            notifications: many("notifications"),
        }
    }
}

/// Room versions 1 to 9 also take strings that are integers, and (where the JSON allows them) floats, cut at the point.
fn lenient_level(value: &Value) -> Option<i64> {
    match value {
        Value::Integer(level) => Some(*level),
        // A float, or an integer beyond 64 bits: casting cuts the one and saturates the other.
        Value::Number(text) => text.parse::<f64>().ok().map(|level| level as i64),
        Value::String(text) => {
            let text = text.trim();
            let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
            if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                return None;
            }
            let limit = if text.starts_with('-') { i64::MIN } else { i64::MAX };
            Some(text.parse().unwrap_or(limit))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{canonical_json::parse_object, room_version::RoomVersion};

    fn ban(version: RoomVersion, level: &str) -> Field<i64> {
        let rules = version.rules();
        let content = parse_object(format!("{{\"ban\":{level}}}").as_bytes(), rules.numbers).unwrap();
        PowerLevels::read(rules, &content).ban
    }

    #[test]
    fn old_versions_read_levels_from_strings_and_floats() {
        for (text, level) in
            [("\"100\"", 100), ("\" +000100 \"", 100), ("\"-5\"", -5), ("50.57", 50), ("5.114698E4", 51146)]
        {
            assert_eq!(ban(RoomVersion::V5, text), Field::Present(level), "{text}");
        }
        for text in ["\"\"", "\"1.5\"", "\"1_0\"", "\"+-1\"", "null", "true", "[]"] {
            assert_eq!(ban(RoomVersion::V5, text), Field::Malformed, "{text}");
        }
        assert_eq!(ban(RoomVersion::V9, "\"100\""), Field::Present(100));
        assert_eq!(ban(RoomVersion::V10, "\"100\""), Field::Malformed);
        assert_eq!(ban(RoomVersion::V10, "100"), Field::Present(100));
    }
}
