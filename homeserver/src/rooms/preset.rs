//! The presets of `createRoom`, and the power levels that a room begins with.

use roost_spec::{
    canonical_json::{Object, Value},
    room_version::RoomRules,
};
use ruma::OwnedUserId;

use super::Author;

/// A word for the state that a room begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    PrivateChat,
    TrustedPrivateChat,
    PublicChat,
}

impl Preset {
    /// Reads the protocol's word for it.
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "private_chat" => Self::PrivateChat,
            "trusted_private_chat" => Self::TrustedPrivateChat,
            "public_chat" => Self::PublicChat,
            _ => return None,
        })
    }

    /// Type, key and value of each state event that the preset stands for.
    pub(super) fn state(self) -> [(&'static str, &'static str, &'static str); 3] {
        let (join_rule, guest_access) = match self {
            Self::PrivateChat | Self::TrustedPrivateChat => ("invite", "can_join"),
            Self::PublicChat => ("public", "forbidden"),
        };
        [
            ("m.room.join_rules", "join_rule", join_rule),
            ("m.room.history_visibility", "history_visibility", "shared"),
            ("m.room.guest_access", "guest_access", guest_access),
        ]
    }
}

/// The power levels of a new room, before the client's wishes.
pub(super) fn default_power_levels(
    rules: &RoomRules,
    author: &Author,
    preset: Preset,
    invited: &[OwnedUserId],
) -> Object {
    // Where creators stand above the levels, they can't be listed, and it takes one of them to close the room.
    let tombstone = if rules.auth.privileged_creators { 150_i64 } else { 100 };
    let events = Object::from([
        ("m.room.avatar", 50_i64),
        ("m.room.canonical_alias", 50),
        ("m.room.encryption", 100),
        ("m.room.history_visibility", 100),
        ("m.room.name", 50),
        ("m.room.power_levels", 100),
        ("m.room.server_acl", 100),
        ("m.room.tombstone", tombstone),
    ]);
    let mut users = Object::new();
    if !rules.auth.privileged_creators {
        users.insert(author.id.as_str(), 100_i64);
        if preset == Preset::TrustedPrivateChat {
            for user in invited {
                users.insert(user.as_str(), 100_i64);
            }
        }
    }
    let invite = if preset == Preset::PublicChat { 50_i64 } else { 0 };
    Object::from([
        ("ban", Value::from(50_i64)),
        ("events", events.into()),
        ("events_default", 0_i64.into()),
        ("invite", invite.into()),
        ("kick", 50_i64.into()),
        ("redact", 50_i64.into()),
        ("state_default", 50_i64.into()),
        ("users", users.into()),
        ("users_default", 0_i64.into()),
    ])
}
