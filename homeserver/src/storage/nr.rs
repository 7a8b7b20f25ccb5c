//! The numbers that stand for rooms, events, users and strings inside the database.

use serde::{Deserialize, Serialize};

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, sqlx::Type)]
        #[serde(transparent)]
        #[sqlx(transparent)]
        pub struct $name(pub $inner);
    };
}

number!(
    /// A room.
    RoomNr(i64)
);
number!(
    /// An event, from first sight. Orders nothing.
    EventNr(i64)
);
number!(
    /// A state of a room: equal frames are equal states. 0 is the empty state.
    FrameNr(i64)
);
number!(
    /// A device of a local user.
    DeviceNr(i64)
);
number!(
    /// A place in the one log. Commits appear in the order of their positions.
    Pos(i64)
);
number!(
    /// An interned string: event type, state key or user ID.
    Sym(i32)
);

/// A user, local or remote: the interned user ID, so that it is also the state key of the user's memberships.
pub type UserNr = Sym;

/// `membership` of `m.room.member`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, sqlx::Type)]
#[repr(i16)]
pub enum Membership {
    Leave = 0,
    Join = 1,
    Invite = 2,
    Ban = 3,
    Knock = 4,
}

impl Membership {
    /// Reads the protocol's word for it.
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "leave" => Self::Leave,
            "join" => Self::Join,
            "invite" => Self::Invite,
            "ban" => Self::Ban,
            "knock" => Self::Knock,
            _ => return None,
        })
    }

    /// The protocol's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Leave => "leave",
            Self::Join => "join",
            Self::Invite => "invite",
            Self::Ban => "ban",
            Self::Knock => "knock",
        }
    }
}

/// Numbers that migration 0001 fixed.
impl Sym {
    pub const EMPTY: Self = Self(1);
    pub const CREATE: Self = Self(2);
    pub const MEMBER: Self = Self(3);
    pub const POWER_LEVELS: Self = Self(4);
    pub const JOIN_RULES: Self = Self(5);
    pub const HISTORY_VISIBILITY: Self = Self(6);
    pub const THIRD_PARTY_INVITE: Self = Self(7);
    pub const NAME: Self = Self(8);
    pub const CANONICAL_ALIAS: Self = Self(9);
    pub const AVATAR: Self = Self(10);
    pub const TOPIC: Self = Self(11);
    pub const ENCRYPTION: Self = Self(12);
    pub const GUEST_ACCESS: Self = Self(13);
    pub const TOMBSTONE: Self = Self(14);
    pub const SERVER_ACL: Self = Self(15);
    pub const MESSAGE: Self = Self(17);
    pub const ENCRYPTED: Self = Self(18);
    pub const REDACTION: Self = Self(19);
    pub const SPACE_CHILD: Self = Self(21);
}
