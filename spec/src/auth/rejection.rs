//! Why an event is refused.

use super::{Action, PowerLevel};

/// The rule that an event breaks, as a sentence for its sender.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// Create event: it must be the first.
    #[error("a create event has no events before it")]
    CreateHasPrevEvents,
    /// Create event since room version 12: its hash is the room id.
    #[error("a create event must not have a room id in this room version, its own hash is the room's id")]
    CreateHasRoomId,
    /// Create event before room version 12: a server creates rooms of its own.
    #[error("the room id belongs to another server than the sender")]
    CreateOfOtherServer,
    /// Create event: the version must be known.
    #[error("the room version is not known")]
    UnknownRoomVersion,
    /// Create event before room version 11.
    #[error("the create event names no creator")]
    NoCreator,
    /// Create event since room version 12.
    #[error("additional_creators must be a list of user ids")]
    InvalidAdditionalCreators,

    /// Auth events: two for the same key.
    #[error("the event cites two auth events for {kind} with state key {state_key:?}")]
    DuplicateAuthEvent {
        /// The type of both.
        kind: String,
        /// The state key of both.
        state_key: String,
    },
    /// Auth events: one that the event does not need.
    #[error("the event cites an auth event that it does not need: {event_id}")]
    UnneededAuthEvent {
        /// The id of the needless event.
        event_id: String,
    },
    /// Auth events: one that was rejected itself.
    #[error("the event cites an auth event that was rejected: {event_id}")]
    RejectedAuthEvent {
        /// The id of the rejected event.
        event_id: String,
    },
    /// Auth events: one of another room.
    #[error("the event cites an auth event of another room: {event_id}")]
    AuthEventOfOtherRoom {
        /// The id of the foreign event.
        event_id: String,
    },
    /// Auth events before room version 12, or state: no create event.
    #[error("there is no create event to authorize the event with")]
    NoCreateEvent,
    /// Since room version 12: the room id names no accepted create event.
    #[error("the room id is not the hash of an accepted create event")]
    RoomIdIsNoCreateEvent,

    /// The room was closed to other servers when it was created.
    #[error("users of other servers can't take part in this room")]
    NotFederated,
    /// Aliases before room version 6.
    #[error("the state key of an aliases event must be the sender's server")]
    AliasesOfOtherServer,
    /// A state event that rules depend on is not what it must be.
    #[error("the room's {0} can't be read")]
    MalformedState(&'static str),

    /// Membership: whose?
    #[error("a membership event needs a user id as its state key")]
    NoTarget,
    /// Membership: which?
    #[error("the membership is missing or not known in this room version")]
    UnknownMembership,
    /// Join: only for oneself.
    #[error("only a user can join or knock for themselves")]
    NotForOthers,
    /// Join or invite: banned.
    #[error("the user is banned from the room")]
    Banned,
    /// Join: the join rule keeps the user out.
    #[error("the user is not invited to this room")]
    NotInvited,
    /// Restricted join: nobody vouches.
    #[error("a restricted join without an invite needs a joined user of the room who may invite")]
    NotAuthorised,
    /// Invite: already there.
    #[error("the user is already in the room")]
    AlreadyJoined,
    /// Knock: the room does not take any.
    #[error("the room does not accept knocks")]
    KnockNotAllowed,
    /// Knock: no need to.
    #[error("a user who is joined, invited or banned can't knock")]
    NoNeedToKnock,
    /// Leave: not there.
    #[error("the user is not in the room")]
    NotInRoom,
    /// Third-party invite: incomplete, or for another user.
    #[error("the third-party invite is not signed for this user")]
    ThirdPartyInviteMalformed,
    /// Third-party invite: no such invitation, or another's.
    #[error("the sender has not invited this third party")]
    ThirdPartyInviteUnknown,
    /// Third-party invite: the identity server did not sign it.
    #[error("the third-party invite is not signed with a key of the invitation")]
    ThirdPartyInviteSignature,

    /// The sender is not in the room.
    #[error("the sender is not in the room")]
    SenderNotJoined,
    /// The sender's power does not suffice.
    #[error("this needs power level {needs} ({action}), the sender has {has}")]
    Power {
        /// What was tried.
        action: Action,
        /// The level that it needs.
        needs: i64,
        /// The sender's level.
        has: PowerLevel,
    },
    /// Kick or ban of someone who is no weaker.
    #[error("the user has power level {target}, no less than the sender's {has}")]
    TargetPower {
        /// The level of the user who was to be kicked or banned.
        target: PowerLevel,
        /// The sender's level.
        has: PowerLevel,
    },
    /// State under another user's id.
    #[error("the state key is another user's id")]
    StateOfOtherUser,

    /// Power levels: a wrong type.
    #[error("`{0}` of the power levels is malformed")]
    MalformedPowerLevels(&'static str),
    /// Power levels: a key of `users` is no user id.
    #[error("{0:?} in the power levels is no user id")]
    PowerForNoUser(String),
    /// Power levels since room version 12: creators need none.
    #[error("{0} created the room and can't be given a power level")]
    PowerForCreator(String),
    /// Power levels: a change beyond the sender's own level.
    #[error("the sender's power level {has} does not suffice to change {what}")]
    PowerChange {
        /// The changed key, or the changed entry's name.
        what: String,
        /// The sender's level.
        has: PowerLevel,
    },

    /// Redaction in room versions 1 and 2.
    #[error("the sender may not redact events of other servers")]
    RedactionOfOtherServer,
}
