//! `m.room.join_rules`

use crate::canonical_json::Object;

/// Who may join.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinRule {
    /// Everyone.
    Public,
    /// Who was invited.
    Invite,
    /// Who was invited; everyone may ask for it.
    Knock,
    /// Who was invited, or fulfils a condition.
    Restricted,
    /// Who was invited, or fulfils a condition; everyone may ask for an invite.
    KnockRestricted,
    /// Reserved; nobody.
    Private,
    /// A rule that we don't know; nobody.
    Unknown,
}

impl JoinRule {
    /// The rule that `text` names.
    pub fn parse(text: &str) -> Self {
        match text {
            "public" => Self::Public,
            "invite" => Self::Invite,
            "knock" => Self::Knock,
            "restricted" => Self::Restricted,
            "knock_restricted" => Self::KnockRestricted,
            "private" => Self::Private,
            _ => Self::Unknown,
        }
    }
}

/// The content of a join rules event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinRules {
    /// `join_rule`; `None` where it is missing or no text.
    pub join_rule: Option<JoinRule>,
    /// The rooms in `allow` whose members may join (conditions of type `m.room_membership`).
    pub allowed_rooms: Vec<Box<str>>,
}

impl JoinRules {
    /// Reads a content.
    pub fn read(content: &Object) -> Self {
        let conditions = content.get("allow").and_then(|allow| allow.as_array()).unwrap_or_default();
        Self {
            join_rule: content.get_str("join_rule").map(JoinRule::parse),
            allowed_rooms: conditions
                .iter()
                .filter_map(|condition| condition.as_object())
                .filter(|condition| condition.get_str("type") == Some("m.room_membership"))
                .filter_map(|condition| condition.get_str("room_id"))
                .map(Into::into)
                .collect(),
        }
    }
}
