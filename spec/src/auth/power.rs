//! Who may do what.

use std::fmt;

use super::{Rejection, StateView};
use crate::{
    event::{
        Pdu,
        content::{Create, Field, PowerLevels},
    },
    room_version::RoomRules,
};

/// A user's power. Infinite power is greater than every level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PowerLevel {
    /// A level.
    Finite(i64),
    /// The power of creators since room version 12.
    Infinite,
}

impl PowerLevel {
    /// Whether this power suffices for what needs `level`.
    pub fn reaches(self, level: i64) -> bool {
        self >= Self::Finite(level)
    }
}

impl fmt::Display for PowerLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Finite(level) => level.fmt(f),
            Self::Infinite => f.write_str("of a creator"),
        }
    }
}

/// What needs a level of its own, named as in the power levels event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// `ban`, and half of unbanning.
    Ban,
    /// `invite`
    Invite,
    /// `kick`
    Kick,
    /// `redact`: events of others.
    Redact,
    /// Sending an event that is no state: its type's level, or `events_default`.
    Send,
    /// Sending a state event: its type's level, or `state_default`.
    SendState,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ban => "to ban",
            Self::Invite => "to invite",
            Self::Kick => "to kick",
            Self::Redact => "to redact",
            Self::Send => "to send events of this type",
            Self::SendState => "to set state of this type",
        })
    }
}

/// The power of a room's users: its create event and power levels, with the defaults applied.
#[derive(Debug, Clone, Copy)]
pub struct Power<'a> {
    rules: &'static RoomRules,
    create: &'a Pdu,
    creation: &'a Create,
    levels: Option<&'a PowerLevels>,
}

/// The creator's level where there are no power levels yet.
const CREATOR: i64 = 100;
/// The level that moderating actions and state need by default.
const MODERATOR: i64 = 50;

impl<'a> Power<'a> {
    /// The power in a room of this state.
    ///
    /// # Errors
    /// [`Rejection::NoCreateEvent`] if the state has none.
    pub fn of(rules: &'static RoomRules, state: &'a impl StateView) -> Result<Self, Rejection> {
        let create = state.event("m.room.create", "").ok_or(Rejection::NoCreateEvent)?;
        let creation = create.create().ok_or(Rejection::NoCreateEvent)?;
        let levels = state.event("m.room.power_levels", "").and_then(Pdu::power_levels);
        Ok(Self { rules, create, creation, levels })
    }

    /// The room's create event.
    pub fn create(&self) -> &'a Pdu {
        self.create
    }

    /// The content of the create event.
    pub(super) fn creation(&self) -> &'a Create {
        self.creation
    }

    /// The content of the power levels event, if there is one.
    pub(super) fn levels(&self) -> Option<&'a PowerLevels> {
        self.levels
    }

    /// The one who created the room: `content.creator`, or since room version 11 the create event's sender.
    pub fn creator(&self) -> Option<&'a str> {
        if self.rules.auth.creator_is_sender {
            Some(self.create.sender())
        } else {
            self.creation.creator.present().map(|creator| &**creator)
        }
    }

    /// Whether `user` is the creator or, since room version 12, one of the additional ones.
    pub fn is_creator(&self, user: &str) -> bool {
        let is_additional = || {
            let additional = self.creation.additional_creators.present().map(Vec::as_slice).unwrap_or_default();
            self.rules.auth.privileged_creators && additional.iter().any(|creator| **creator == *user)
        };
        self.creator() == Some(user) || is_additional()
    }

    /// The users who have a power of their own: the creators, and whom the power levels list. Some may come twice.
    pub fn named(&self) -> impl Iterator<Item = &'a str> {
        let additional = self.creation.additional_creators.present().map(Vec::as_slice).unwrap_or_default();
        let listed = self.levels.and_then(|levels| levels.users.present());
        let listed = listed.into_iter().flat_map(|users| users.iter().map(|(user, _)| user));
        self.creator().into_iter().chain(additional.iter().map(|user| &**user)).chain(listed)
    }

    /// The power of a user whom nothing names.
    ///
    /// # Errors
    /// [`Rejection::MalformedState`] if the levels that decide it can't be read.
    pub fn of_others(&self) -> Result<PowerLevel, Rejection> {
        self.of_user("")
    }

    /// The power of `user`.
    ///
    /// # Errors
    /// [`Rejection::MalformedState`] if the levels that decide it can't be read.
    pub fn of_user(&self, user: &str) -> Result<PowerLevel, Rejection> {
        if self.rules.auth.privileged_creators && self.is_creator(user) {
            return Ok(PowerLevel::Infinite);
        }
        let Some(levels) = self.levels else {
            return Ok(PowerLevel::Finite(if self.is_creator(user) { CREATOR } else { 0 }));
        };
        let own = match &levels.users {
            Field::Present(users) => users.get(user),
            Field::Absent => None,
            Field::Malformed => return Err(MALFORMED),
        };
        let level = own.map_or_else(|| or_default(levels.users_default, 0), Ok)?;
        Ok(PowerLevel::Finite(level))
    }

    /// The level that `action` needs, where the type of event plays no part.
    ///
    /// # Errors
    /// [`Rejection::MalformedState`] if that level can't be read.
    pub fn needed(&self, action: Action) -> Result<i64, Rejection> {
        let absent = PowerLevels::default();
        let levels = self.levels.unwrap_or(&absent);
        match action {
            Action::Ban => or_default(levels.ban, MODERATOR),
            Action::Invite => or_default(levels.invite, 0),
            Action::Kick => or_default(levels.kick, MODERATOR),
            Action::Redact => or_default(levels.redact, MODERATOR),
            Action::Send => or_default(levels.events_default, 0),
            Action::SendState => or_default(levels.state_default, MODERATOR),
        }
    }

    /// The level that sending an event of type `kind` needs.
    ///
    /// # Errors
    /// [`Rejection::MalformedState`] if that level can't be read.
    pub fn needed_to_send(&self, kind: &str, is_state: bool) -> Result<i64, Rejection> {
        let of_kind = match self.levels.map(|levels| &levels.events) {
            Some(Field::Present(events)) => events.get(kind),
            Some(Field::Malformed) => return Err(MALFORMED),
            Some(Field::Absent) | None => None,
        };
        of_kind.map_or_else(|| self.needed(send_action(is_state)), Ok)
    }

    /// The level that a notification such as `room` (for `@room`) needs; 50 by default.
    ///
    /// # Errors
    /// [`Rejection::MalformedState`] if that level can't be read.
    pub fn needed_to_notify(&self, notification: &str) -> Result<i64, Rejection> {
        match self.levels.map(|levels| &levels.notifications) {
            Some(Field::Present(levels)) => Ok(levels.get(notification).unwrap_or(MODERATOR)),
            Some(Field::Malformed) => Err(MALFORMED),
            Some(Field::Absent) | None => Ok(MODERATOR),
        }
    }

    /// Whether `user` has the power for `action`. Whether they are in the room is another question.
    ///
    /// # Errors
    /// [`Rejection::MalformedState`] if the levels that decide it can't be read.
    pub fn may(&self, user: &str, action: Action) -> Result<bool, Rejection> {
        Ok(self.of_user(user)?.reaches(self.needed(action)?))
    }

    /// The power of `user`, if it suffices for `action`.
    pub(super) fn require(&self, user: &str, action: Action) -> Result<PowerLevel, Rejection> {
        let (has, needs) = (self.of_user(user)?, self.needed(action)?);
        if has.reaches(needs) { Ok(has) } else { Err(Rejection::Power { action, needs, has }) }
    }
}

pub(super) fn send_action(is_state: bool) -> Action {
    if is_state { Action::SendState } else { Action::Send }
}

const MALFORMED: Rejection = Rejection::MalformedState("power levels");

fn or_default(level: Field<i64>, default: i64) -> Result<i64, Rejection> {
    match level {
        Field::Present(level) => Ok(level),
        Field::Absent => Ok(default),
        Field::Malformed => Err(MALFORMED),
    }
}
