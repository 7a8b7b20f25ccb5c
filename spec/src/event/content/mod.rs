//! The contents that decide over authorization.
//!
//! Reading never fails: what is malformed is kept as such, because the rules differ in what they do about it.
//!
//! **Invariant:** nothing is judged here, only read.

mod create;
mod history_visibility;
mod join_rules;
mod member;
mod power_levels;
mod third_party_invite;

pub use create::Create;
pub use history_visibility::HistoryVisibility;
pub use join_rules::{JoinRule, JoinRules};
pub use member::{Member, Membership, SignedInvite};
pub use power_levels::{Levels, PowerLevels};
pub use third_party_invite::ThirdPartyInvite;

use crate::{
    canonical_json::{Object, Value},
    room_version::RoomRules,
};

/// What stands under a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Field<T> {
    /// The key is not there.
    #[default]
    Absent,
    /// A value of the right type.
    Present(T),
    /// A value of another type.
    Malformed,
}

impl<T> Field<T> {
    /// Reads the value under `key` with `read`, which gives `None` for a wrong type.
    fn read<'a>(content: &'a Object, key: &str, read: impl FnOnce(&'a Value) -> Option<T>) -> Self {
        match content.get(key) {
            None => Self::Absent,
            Some(value) => read(value).map_or(Self::Malformed, Self::Present),
        }
    }

    /// The value, if it is there and of the right type.
    pub fn present(&self) -> Option<&T> {
        if let Self::Present(value) = self { Some(value) } else { None }
    }
}

/// The typed content of a state event that matters for authorization.
pub(super) enum AuthContent {
    Create(Create),
    PowerLevels(Box<PowerLevels>),
    Member(Member),
    JoinRules(JoinRules),
    ThirdPartyInvite(ThirdPartyInvite),
    None,
}

impl AuthContent {
    pub(super) fn read(rules: &RoomRules, kind: &str, state_key: Option<&str>, content: &Object) -> Self {
        match (kind, state_key) {
            ("m.room.create", Some("")) => Self::Create(Create::read(content)),
            // The rules on them speak of the type alone; power is given by the one with an empty state key.
            ("m.room.power_levels", _) => Self::PowerLevels(Box::new(PowerLevels::read(rules, content))),
            ("m.room.member", Some(_)) => Self::Member(Member::read(content)),
            ("m.room.join_rules", Some("")) => Self::JoinRules(JoinRules::read(content)),
            ("m.room.third_party_invite", Some(_)) => Self::ThirdPartyInvite(ThirdPartyInvite::read(content)),
            _ => Self::None,
        }
    }
}

fn text(value: &Value) -> Option<Box<str>> {
    value.as_str().map(Into::into)
}
