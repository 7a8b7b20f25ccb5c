//! Rule 4: who may join, invite, leave, kick, ban and knock.

use super::{Action, Power, Rejection, StateView, third_party};
use crate::{
    event::{
        Pdu,
        content::{Field, JoinRule, Member, Membership},
    },
    ident,
    room_version::RoomRules,
};

/// Rule 4: if type is m.room.member:
pub(super) fn check(
    rules: &RoomRules,
    event: &Pdu,
    state: &impl StateView,
    power: &Power<'_>,
) -> Result<(), Rejection> {
    // 4.1 If there is no state_key property, or no membership property in content, reject.
    let target = event.state_key().filter(|target| ident::is_user_id(target)).ok_or(Rejection::NoTarget)?;
    let content = event.member().ok_or(Rejection::NoTarget)?;
    // 4.2 If content has a join_authorised_via_users_server key: if the event is not validly signed by the homeserver of
    // the user ID denoted by the key, reject. Untrusted::verify asks for that signature.
    let Field::Present(membership) = content.membership else { return Err(Rejection::UnknownMembership) };
    let case = Case { rules, event, content, target, state, power };
    match membership {
        Membership::Join => case.join(),
        Membership::Invite => case.invite(),
        Membership::Leave => case.leave(),
        Membership::Ban => case.ban(),
        Membership::Knock if rules.auth.knocking => case.knock(),
        // 4.8 Otherwise, the membership is unknown. Reject.
        Membership::Knock => Err(Rejection::UnknownMembership),
    }
}

/// The membership of `user` in `state`; without an event, it is leave.
pub(super) fn membership(state: &impl StateView, user: &str) -> Result<Membership, Rejection> {
    match state.event("m.room.member", user).and_then(Pdu::member).map(|member| member.membership) {
        None => Ok(Membership::Leave),
        Some(Field::Present(membership)) => Ok(membership),
        Some(Field::Absent | Field::Malformed) => Err(Rejection::MalformedState("membership")),
    }
}

struct Case<'a, S> {
    rules: &'a RoomRules,
    event: &'a Pdu,
    content: &'a Member,
    target: &'a str,
    state: &'a S,
    power: &'a Power<'a>,
}

impl<S: StateView> Case<'_, S> {
    /// 4.3 If membership is join:
    fn join(&self) -> Result<(), Rejection> {
        // 4.3.1 If the only previous event is an m.room.create and the state_key is the creator (since version 11: the
        // sender of the m.room.create), allow.
        if let [only] = self.event.prev_events()
            && **only == *self.power.create().event_id()
            && self.power.creator() == Some(self.target)
        {
            return Ok(());
        }
        // 4.3.2 If the sender does not match state_key, reject.
        if self.event.sender() != self.target {
            return Err(Rejection::NotForOthers);
        }
        // 4.3.3 If the sender is banned, reject.
        let current = self.current(self.target)?;
        if current == Membership::Ban {
            return Err(Rejection::Banned);
        }
        let is_expected = matches!(current, Membership::Invite | Membership::Join);
        let allowed = match self.join_rule()? {
            // 4.3.4 If the join_rule is invite (since version 7: or knock) then allow if membership state is invite or join.
            JoinRule::Invite => is_expected,
            JoinRule::Knock => self.rules.auth.knocking && is_expected,
            // 4.3.5 since version 8, if the join_rule is restricted (since version 10: or knock_restricted):
            JoinRule::Restricted if self.rules.auth.restricted_joins => return self.restricted_join(is_expected),
            JoinRule::KnockRestricted if self.rules.auth.knock_restricted_joins => {
                return self.restricted_join(is_expected);
            }
            // 4.3.6 If the join_rule is public, allow.
            JoinRule::Public => true,
            // 4.3.7 Otherwise, reject.
            JoinRule::Restricted | JoinRule::KnockRestricted | JoinRule::Private | JoinRule::Unknown => false,
        };
        if allowed { Ok(()) } else { Err(Rejection::NotInvited) }
    }

    fn restricted_join(&self, is_expected: bool) -> Result<(), Rejection> {
        // 4.3.5.1 If membership state is join or invite, allow.
        if is_expected {
            return Ok(());
        }
        // 4.3.5.2 If the join_authorised_via_users_server key in content is not a user with sufficient permission to invite
        // other users or is not a joined member of the room, reject.
        let via = self.content.authorised_via.present().ok_or(Rejection::NotAuthorised)?;
        if self.current(via)? != Membership::Join || !self.power.may(via, Action::Invite)? {
            return Err(Rejection::NotAuthorised);
        }
        // 4.3.5.3 Otherwise, allow.
        Ok(())
    }

    /// 4.4 If membership is invite:
    fn invite(&self) -> Result<(), Rejection> {
        // 4.4.1 If content has a third_party_invite property, it decides alone.
        match &self.content.third_party_invite {
            Field::Absent => {}
            invite => {
                let is_banned = self.current(self.target)? == Membership::Ban;
                return third_party::check(
                    self.event,
                    invite.present().map(|invite| &**invite),
                    self.target,
                    is_banned,
                    self.state,
                );
            }
        }
        // 4.4.2 If the sender's current membership state is not join, reject.
        self.sender_is_joined()?;
        // 4.4.3 If target user's current membership state is join or ban, reject.
        match self.current(self.target)? {
            Membership::Join => return Err(Rejection::AlreadyJoined),
            Membership::Ban => return Err(Rejection::Banned),
            Membership::Invite | Membership::Leave | Membership::Knock => {}
        }
        // 4.4.4 If the sender's power level is greater than or equal to the invite level, allow. 4.4.5 Otherwise, reject.
        self.power.require(self.event.sender(), Action::Invite).map(drop)
    }

    /// 4.5 If membership is leave:
    fn leave(&self) -> Result<(), Rejection> {
        let target_membership = self.current(self.target)?;
        // 4.5.1 If the sender matches state_key, allow if and only if that user's current membership state is invite, join,
        // or (since version 7) knock.
        if self.event.sender() == self.target {
            return match target_membership {
                Membership::Invite | Membership::Join => Ok(()),
                Membership::Knock if self.rules.auth.knocking => Ok(()),
                Membership::Ban => Err(Rejection::Banned),
                Membership::Knock | Membership::Leave => Err(Rejection::NotInRoom),
            };
        }
        // 4.5.2 If the sender's current membership state is not join, reject.
        self.sender_is_joined()?;
        // 4.5.3 If the target user's current membership state is ban, and the sender's power level is less than the ban
        // level, reject.
        if target_membership == Membership::Ban {
            self.power.require(self.event.sender(), Action::Ban)?;
        }
        // 4.5.4 If the sender's power level is greater than or equal to the kick level, and the target user's power level is
        // less than the sender's power level, allow. 4.5.5 Otherwise, reject.
        self.overpowers(Action::Kick)
    }

    /// 4.6 If membership is ban:
    fn ban(&self) -> Result<(), Rejection> {
        // 4.6.1 If the sender's current membership state is not join, reject.
        self.sender_is_joined()?;
        // 4.6.2 If the sender's power level is greater than or equal to the ban level, and the target user's power level is
        // less than the sender's power level, allow. 4.6.3 Otherwise, reject.
        self.overpowers(Action::Ban)
    }

    /// 4.7 since version 7, if membership is knock:
    fn knock(&self) -> Result<(), Rejection> {
        // 4.7.1 If the join_rule is anything other than knock (since version 10: or knock_restricted), reject.
        let takes_knocks = match self.join_rule()? {
            JoinRule::Knock => true,
            JoinRule::KnockRestricted => self.rules.auth.knock_restricted_joins,
            _ => false,
        };
        if !takes_knocks {
            return Err(Rejection::KnockNotAllowed);
        }
        // 4.7.2 If sender does not match state_key, reject.
        if self.event.sender() != self.target {
            return Err(Rejection::NotForOthers);
        }
        // 4.7.3 If the sender's current membership is not ban, invite, or join, allow. 4.7.4 Otherwise, reject.
        match self.current(self.target)? {
            Membership::Leave | Membership::Knock => Ok(()),
            Membership::Ban | Membership::Invite | Membership::Join => Err(Rejection::NoNeedToKnock),
        }
    }

    fn current(&self, user: &str) -> Result<Membership, Rejection> {
        membership(self.state, user)
    }

    fn sender_is_joined(&self) -> Result<(), Rejection> {
        if self.current(self.event.sender())? == Membership::Join { Ok(()) } else { Err(Rejection::SenderNotJoined) }
    }

    fn overpowers(&self, action: Action) -> Result<(), Rejection> {
        let has = self.power.require(self.event.sender(), action)?;
        let target = self.power.of_user(self.target)?;
        if target < has { Ok(()) } else { Err(Rejection::TargetPower { target, has }) }
    }

    /// The join rule; without an event, it is invite.
    fn join_rule(&self) -> Result<JoinRule, Rejection> {
        match self.state.event("m.room.join_rules", "").and_then(Pdu::join_rules) {
            None => Ok(JoinRule::Invite),
            Some(rules) => rules.join_rule.ok_or(Rejection::MalformedState("join rules")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        auth::test_room::{ALICE, BOB, CAROL, Room},
        room_version::RoomVersion::{self, V6, V7, V8, V9, V10, V11, V12},
    };

    const VIA_ALICE: &str = r#"{"join_authorised_via_users_server":"@alice:a.org","membership":"join"}"#;

    #[test]
    fn the_creator_joins_first_without_being_asked() {
        for version in [V10, V12] {
            let room = Room::new(version);
            assert_eq!(room.first_join(ALICE), Ok(()));
            assert_eq!(room.first_join(BOB), Err(Rejection::NotInvited));
        }
    }

    #[test]
    fn without_join_rules_only_the_invited_join() {
        let room = Room::new(V11).with_member(BOB, "invite");
        assert_eq!(room.membership(BOB, BOB, "join"), Ok(()));
        assert_eq!(room.membership(CAROL, CAROL, "join"), Err(Rejection::NotInvited));
        assert_eq!(room.membership(ALICE, BOB, "join"), Err(Rejection::NotForOthers));
    }

    #[test]
    fn the_banned_stay_out_until_someone_unbans_them() {
        let room = Room::new(V11).with_join_rule("public").with_member(BOB, "ban").with_member(CAROL, "join");
        assert_eq!(room.membership(BOB, BOB, "join"), Err(Rejection::Banned));
        assert_eq!(room.membership(BOB, BOB, "leave"), Err(Rejection::Banned));
        assert_eq!(room.membership(ALICE, BOB, "invite"), Err(Rejection::Banned));
        assert!(matches!(room.membership(CAROL, BOB, "leave"), Err(Rejection::Power { .. })));
        assert_eq!(room.membership(ALICE, BOB, "leave"), Ok(()));
    }

    #[test]
    fn unbanning_needs_the_ban_level_and_the_kick_level() {
        let levels = |ban: i64, kick: i64| {
            let levels = format!(r#"{{"ban":{ban},"kick":{kick},"users":{{"@carol:b.org":50}}}}"#);
            Room::new(V11).with_member(BOB, "ban").with_member(CAROL, "join").with_levels(&levels)
        };
        assert_eq!(levels(50, 50).membership(CAROL, BOB, "leave"), Ok(()));
        assert!(levels(60, 50).membership(CAROL, BOB, "leave").is_err());
        assert!(levels(50, 60).membership(CAROL, BOB, "leave").is_err());
    }

    #[test]
    fn nobody_kicks_or_bans_an_equal() {
        let levels = r#"{"users":{"@alice:a.org":100,"@bob:a.org":50,"@carol:b.org":50}}"#;
        let room = Room::new(V11).with_member(BOB, "join").with_member(CAROL, "join").with_levels(levels);
        for membership in ["leave", "ban"] {
            assert!(matches!(room.membership(BOB, CAROL, membership), Err(Rejection::TargetPower { .. })));
            assert_eq!(room.membership(ALICE, BOB, membership), Ok(()));
        }
    }

    #[test]
    fn creators_of_version_12_are_beyond_each_other() {
        let create = r#"{"additional_creators":["@bob:a.org"]}"#;
        let levels = r#"{"users":{"@carol:b.org":9007199254740991}}"#;
        let room =
            Room::created_with(V12, create).with_member(BOB, "join").with_member(CAROL, "join").with_levels(levels);
        assert!(matches!(room.membership(CAROL, ALICE, "leave"), Err(Rejection::TargetPower { .. })));
        assert!(matches!(room.membership(ALICE, BOB, "leave"), Err(Rejection::TargetPower { .. })));
        assert_eq!(room.membership(BOB, CAROL, "ban"), Ok(()));
    }

    #[test]
    fn knocking_came_with_version_7() {
        let room = |version| Room::new(version).with_join_rule("knock");
        assert_eq!(room(V6).membership(BOB, BOB, "knock"), Err(Rejection::UnknownMembership));
        assert_eq!(room(V7).membership(BOB, BOB, "knock"), Ok(()));
        assert_eq!(room(V7).membership(CAROL, BOB, "knock"), Err(Rejection::NotForOthers));
        assert_eq!(room(V7).with_member(BOB, "ban").membership(BOB, BOB, "knock"), Err(Rejection::NoNeedToKnock));
        let knocked = |version| room(version).with_member(BOB, "knock").membership(BOB, BOB, "leave");
        assert_eq!(knocked(V7), Ok(()));
        assert_eq!(knocked(V6), Err(Rejection::NotInRoom));
        let restricted = |version| Room::new(version).with_join_rule("knock_restricted").membership(BOB, BOB, "knock");
        assert_eq!(restricted(V9), Err(Rejection::KnockNotAllowed));
        assert_eq!(restricted(V10), Ok(()));
    }

    #[test]
    fn a_restricted_join_needs_someone_in_the_room_who_may_invite() {
        let join = |version: RoomVersion, rule: &str, levels: &str, content: &str| {
            let room = Room::new(version).with_join_rule(rule).with_levels(levels);
            room.set(CAROL, "m.room.member", CAROL, content)
        };
        assert_eq!(join(V8, "restricted", "{}", VIA_ALICE), Ok(()));
        assert_eq!(join(V7, "restricted", "{}", VIA_ALICE), Err(Rejection::NotInvited));
        assert_eq!(join(V9, "knock_restricted", "{}", VIA_ALICE), Err(Rejection::NotInvited));
        assert_eq!(join(V10, "knock_restricted", "{}", VIA_ALICE), Ok(()));
        assert_eq!(join(V8, "restricted", r#"{"invite":1}"#, VIA_ALICE), Err(Rejection::NotAuthorised));
        assert_eq!(join(V12, "restricted", r#"{"invite":1}"#, VIA_ALICE), Ok(()));
        assert_eq!(join(V8, "restricted", "{}", r#"{"membership":"join"}"#), Err(Rejection::NotAuthorised));
        let via_bob = VIA_ALICE.replace("alice", "bob");
        assert_eq!(join(V8, "restricted", "{}", &via_bob), Err(Rejection::NotAuthorised));
    }

    #[test]
    fn membership_needs_a_user_and_a_known_word() {
        let room = Room::new(V11);
        assert_eq!(room.membership(ALICE, "bob", "invite"), Err(Rejection::NoTarget));
        assert_eq!(room.send(ALICE, "m.room.member"), Err(Rejection::NoTarget));
        assert_eq!(room.membership(ALICE, BOB, "dance"), Err(Rejection::UnknownMembership));
        assert_eq!(room.set(ALICE, "m.room.member", BOB, "{}"), Err(Rejection::UnknownMembership));
    }
}
