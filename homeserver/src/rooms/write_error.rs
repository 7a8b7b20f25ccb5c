//! Why something was not written into a room.

use roost_spec::{auth::Rejection, canonical_json, event::FormatError};

use crate::{log, storage};

/// Why an event was not written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Told apart neither for strangers: whether a room exists is the business of who is in it.
    #[error("there is no such room here, or you are not in it")]
    UnknownRoom,
    /// A room to join that nobody here is in.
    #[error("this server is in no such room, and can't join rooms through other servers yet")]
    UnreachableRoom,
    /// A user of another server.
    #[error("{0} is a user of another server, which this server can't reach yet")]
    RemoteUser(Box<str>),
    /// The room's rules, or its state.
    #[error("{0}")]
    Rejected(#[from] Rejection),
    /// A membership that the change does not apply to.
    #[error("{0}")]
    Membership(&'static str),
    /// An invite that the invited user does not want.
    #[error("this user takes no invites from you")]
    InviteBlocked {
        /// By a list, whose error has a name of its own.
        by_list: bool,
    },
    /// The author's account is suspended.
    #[error("your account is suspended: you can read, leave rooms and redact, and not do this")]
    Suspended,
    /// More at once than one request may ask for.
    #[error("that is too much at once: at most {most} {what}")]
    TooMany { what: &'static str, most: usize },
    /// A restricted room of whose conditions the user fulfils none.
    #[error("this room is open to the members of certain other rooms, and you are in none of them")]
    NotAdmitted,
    /// No event, or none that the room version allows.
    #[error("{0}")]
    Format(#[from] FormatError),
    /// The content is no acceptable JSON.
    #[error("the content is not acceptable: {0}")]
    Content(#[from] canonical_json::Error),
    /// A key of the content has a value of the wrong type, or is missing.
    #[error("{0}")]
    BadContent(&'static str),
    /// An alias of a canonical alias event leads elsewhere or nowhere.
    #[error("{0} is not an alias of this room")]
    BadAlias(Box<str>),
    /// An alias of a canonical alias event is none.
    #[error("{0} is not a room alias")]
    InvalidAlias(Box<str>),
    /// The event that was to be redacted.
    #[error("there is no such event in this room")]
    UnknownEvent,
    /// A thread's root relates to another event itself.
    #[error("a thread can't begin at an event that relates to another")]
    BadThread,
    /// The same user has reacted to the same event in the same way.
    #[error("you have reacted like that already")]
    DuplicateAnnotation,
    /// The create event, and others that a room can't do without.
    #[error("events of this type can't be redacted")]
    NotRedactable,
    /// Other servers' nodes were always first.
    #[error("too many are changing this room at once; try again")]
    Contended,
    #[error(transparent)]
    Log(#[from] log::Error),
    #[error(transparent)]
    Storage(#[from] storage::Error),
}
