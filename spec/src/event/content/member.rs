//! `m.room.member`

use super::{Field, text};
use crate::canonical_json::Object;

/// A user's relation to a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Membership {
    /// In the room.
    Join,
    /// Asked to come in.
    Invite,
    /// Not, or no longer, in the room.
    Leave,
    /// Kept out.
    Ban,
    /// Asking to be let in.
    Knock,
}

impl Membership {
    /// The membership that `text` names.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "join" => Self::Join,
            "invite" => Self::Invite,
            "leave" => Self::Leave,
            "ban" => Self::Ban,
            "knock" => Self::Knock,
            _ => return None,
        })
    }

    /// As it stands in events.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Join => "join",
            Self::Invite => "invite",
            Self::Leave => "leave",
            Self::Ban => "ban",
            Self::Knock => "knock",
        }
    }
}

/// The content of a membership event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// `membership`; malformed also where it is a text that names none.
    pub membership: Field<Membership>,
    /// `join_authorised_via_users_server`: the user whose server permits a restricted join.
    pub authorised_via: Field<Box<str>>,
    /// `third_party_invite`: present where it has a whole `signed`.
    pub third_party_invite: Field<Box<SignedInvite>>,
}

/// `third_party_invite.signed`: an identity server's word for who the invited third party is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedInvite {
    /// `mxid`: the invited user.
    pub mxid: Box<str>,
    /// `token`: the state key of the invitation.
    pub token: Box<str>,
    /// The whole object, for its signatures.
    pub signed: Object,
}

impl Member {
    /// Reads a content.
    pub fn read(content: &Object) -> Self {
        Self {
            membership: Field::read(content, "membership", |value| Membership::parse(value.as_str()?)),
            authorised_via: Field::read(content, "join_authorised_via_users_server", text),
            third_party_invite: Field::read(content, "third_party_invite", |value| {
                let signed = value.as_object()?.get_object("signed")?;
                let (mxid, token) = (signed.get_str("mxid")?.into(), signed.get_str("token")?.into());
                Some(Box::new(SignedInvite { mxid, token, signed: signed.clone() }))
            }),
        }
    }
}
