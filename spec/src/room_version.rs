//! Room versions: one table of everything that differs between them.
//!
//! **Invariant:** this is the only file that knows version numbers. All other code asks a named rule.

use std::fmt;

use crate::canonical_json::Numbers;

/// A room version of the specification, 1 to 12.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RoomVersion {
    /// The first version.
    V1,
    /// State resolution v2.
    V2,
    /// Event ids are hashes.
    V3,
    /// Event ids are URL-safe.
    V4,
    /// Signing keys have a validity period.
    V5,
    /// Canonical JSON is enforced.
    V6,
    /// Knocking.
    V7,
    /// Restricted joins.
    V8,
    /// Restricted joins survive redaction.
    V9,
    /// Integer power levels, knock_restricted.
    V10,
    /// Clarified redactions.
    V11,
    /// Privileged creators, the room id is the create event's hash.
    V12,
}

impl RoomVersion {
    /// Every version that Roost supports, oldest first.
    pub const ALL: [Self; 12] = [
        Self::V1,
        Self::V2,
        Self::V3,
        Self::V4,
        Self::V5,
        Self::V6,
        Self::V7,
        Self::V8,
        Self::V9,
        Self::V10,
        Self::V11,
        Self::V12,
    ];

    /// The version that `text` names; `None` for one that is unknown to us.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|version| version.as_str() == text)
    }

    /// The version as it stands in events and requests.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V1 => "1",
            Self::V2 => "2",
            Self::V3 => "3",
            Self::V4 => "4",
            Self::V5 => "5",
            Self::V6 => "6",
            Self::V7 => "7",
            Self::V8 => "8",
            Self::V9 => "9",
            Self::V10 => "10",
            Self::V11 => "11",
            Self::V12 => "12",
        }
    }

    /// The rules of this version.
    pub fn rules(self) -> &'static RoomRules {
        match self {
            Self::V1 => &V1,
            Self::V2 => &V2,
            Self::V3 => &V3,
            Self::V4 => &V4,
            Self::V5 => &V5,
            Self::V6 => &V6,
            Self::V7 => &V7,
            Self::V8 => &V8,
            Self::V9 => &V9,
            Self::V10 => &V10,
            Self::V11 => &V11,
            Self::V12 => &V12,
        }
    }
}

impl fmt::Display for RoomVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How event ids are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventIdFormat {
    /// `$opaque:domain`, chosen by the sending server and part of the event.
    Domain,
    /// `$` and the reference hash in standard unpadded base64.
    HashStandard,
    /// `$` and the reference hash in URL-safe unpadded base64.
    HashUrlSafe,
}

/// Which state resolution algorithm a room uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StateResolution {
    /// By depth and SHA-1 of the event id.
    V1,
    /// Reverse topological power ordering, starting from the unconflicted state.
    V2,
    /// As v2, starting from an empty state map and with the conflicted state subgraph.
    V2_1,
}

/// Everything that differs between room versions.
#[derive(Debug, PartialEq, Eq)]
pub struct RoomRules {
    /// The version whose rules these are.
    pub version: RoomVersion,
    /// How event ids are made. With [`EventIdFormat::Domain`], `prev_events` and `auth_events` are pairs of id and hash.
    pub event_id: EventIdFormat,
    /// Which numbers events may contain.
    pub numbers: Numbers,
    /// The state resolution algorithm.
    pub state_resolution: StateResolution,
    /// A signing key must have been valid at the event's `origin_server_ts`.
    pub enforce_key_validity: bool,
    /// The room id is the create event's id with another sigil: the create event has no `room_id`, and no event lists
    /// the create event among its `auth_events`.
    pub room_id_is_create_hash: bool,
    /// Differences in the authorization rules.
    pub auth: AuthRules,
    /// Differences in the redaction algorithm.
    pub redaction: RedactionRules,
}

impl RoomRules {
    /// Whether `prev_events` and `auth_events` are `[id, {"sha256": hash}]` pairs instead of plain ids.
    pub fn references_carry_hashes(&self) -> bool {
        self.event_id == EventIdFormat::Domain
    }

    /// The largest `depth` an event may have; deeper events keep it.
    pub fn max_depth(&self) -> u64 {
        match self.numbers {
            Numbers::Legacy => i64::MAX as u64,
            Numbers::Strict | Numbers::Lenient => (1 << 53) - 1,
        }
    }
}

/// Differences in the authorization rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuthRules {
    /// `m.room.redaction` needs the redact level or an event id of the same domain.
    pub special_case_redaction: bool,
    /// `m.room.aliases` needs a state key that is the sender's domain, and nothing else.
    pub special_case_aliases: bool,
    /// Changes of `notifications` in power levels are limited by the sender's own level.
    pub limit_notifications: bool,
    /// The `knock` membership and join rule.
    pub knocking: bool,
    /// The `restricted` join rule.
    pub restricted_joins: bool,
    /// The `knock_restricted` join rule.
    pub knock_restricted_joins: bool,
    /// Power levels must be integers; before, strings (and floats, where the JSON allows them) are read as such.
    pub integer_power_levels: bool,
    /// The creator is the create event's `sender`; before, its `content.creator`.
    pub creator_is_sender: bool,
    /// Creators, `additional_creators` among them, have infinite power and may not be listed in `users`.
    pub privileged_creators: bool,
}

/// Differences in what redaction keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RedactionRules {
    /// `aliases` of `m.room.aliases`.
    pub keep_aliases: bool,
    /// `allow` of `m.room.join_rules`.
    pub keep_join_rules_allow: bool,
    /// `join_authorised_via_users_server` of `m.room.member`.
    pub keep_join_authorised: bool,
    /// Top-level `origin`, `membership` and `prev_state`.
    pub keep_legacy_top_level: bool,
    /// The whole content of `m.room.create`.
    pub keep_whole_create: bool,
    /// `invite` of `m.room.power_levels`.
    pub keep_power_levels_invite: bool,
    /// `third_party_invite.signed` of `m.room.member`.
    pub keep_third_party_signed: bool,
    /// `redacts` stands in the content of `m.room.redaction`, and is kept there; before, it is a top-level key, not kept.
    pub redacts_in_content: bool,
}

const V1: RoomRules = RoomRules {
    version: RoomVersion::V1,
    event_id: EventIdFormat::Domain,
    numbers: Numbers::Legacy,
    state_resolution: StateResolution::V1,
    enforce_key_validity: false,
    room_id_is_create_hash: false,
    auth: AuthRules {
        special_case_redaction: true,
        special_case_aliases: true,
        limit_notifications: false,
        knocking: false,
        restricted_joins: false,
        knock_restricted_joins: false,
        integer_power_levels: false,
        creator_is_sender: false,
        privileged_creators: false,
    },
    redaction: RedactionRules {
        keep_aliases: true,
        keep_join_rules_allow: false,
        keep_join_authorised: false,
        keep_legacy_top_level: true,
        keep_whole_create: false,
        keep_power_levels_invite: false,
        keep_third_party_signed: false,
        redacts_in_content: false,
    },
};
const V2: RoomRules = RoomRules { version: RoomVersion::V2, state_resolution: StateResolution::V2, ..V1 };
const V3: RoomRules = RoomRules {
    version: RoomVersion::V3,
    event_id: EventIdFormat::HashStandard,
    auth: AuthRules { special_case_redaction: false, ..V2.auth },
    ..V2
};
const V4: RoomRules = RoomRules { version: RoomVersion::V4, event_id: EventIdFormat::HashUrlSafe, ..V3 };
const V5: RoomRules = RoomRules { version: RoomVersion::V5, enforce_key_validity: true, ..V4 };
const V6: RoomRules = RoomRules {
    version: RoomVersion::V6,
    numbers: Numbers::Strict,
    auth: AuthRules { special_case_aliases: false, limit_notifications: true, ..V5.auth },
    redaction: RedactionRules { keep_aliases: false, ..V5.redaction },
    ..V5
};
const V7: RoomRules = RoomRules { version: RoomVersion::V7, auth: AuthRules { knocking: true, ..V6.auth }, ..V6 };
const V8: RoomRules = RoomRules {
    version: RoomVersion::V8,
    auth: AuthRules { restricted_joins: true, ..V7.auth },
    redaction: RedactionRules { keep_join_rules_allow: true, ..V7.redaction },
    ..V7
};
const V9: RoomRules = RoomRules {
    version: RoomVersion::V9,
    redaction: RedactionRules { keep_join_authorised: true, ..V8.redaction },
    ..V8
};
const V10: RoomRules = RoomRules {
    version: RoomVersion::V10,
    auth: AuthRules { knock_restricted_joins: true, integer_power_levels: true, ..V9.auth },
    ..V9
};
const V11: RoomRules = RoomRules {
    version: RoomVersion::V11,
    auth: AuthRules { creator_is_sender: true, ..V10.auth },
    redaction: RedactionRules {
        keep_legacy_top_level: false,
        keep_whole_create: true,
        keep_power_levels_invite: true,
        keep_third_party_signed: true,
        redacts_in_content: true,
        ..V10.redaction
    },
    ..V10
};
const V12: RoomRules = RoomRules {
    version: RoomVersion::V12,
    state_resolution: StateResolution::V2_1,
    room_id_is_create_hash: true,
    auth: AuthRules { privileged_creators: true, ..V11.auth },
    ..V11
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_version_is_read_back_from_its_name_and_owns_its_rules() {
        for version in RoomVersion::ALL {
            assert_eq!(RoomVersion::parse(version.as_str()), Some(version));
            assert_eq!(version.rules().version, version);
        }
        assert_eq!(RoomVersion::parse("13"), None);
        assert_eq!(RoomVersion::parse("01"), None);
    }
}
