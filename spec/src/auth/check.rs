//! The rules that depend on the room's state, in their order.

use super::{Action, Power, PowerLevel, Rejection, StateView, create, member, power::send_action, power_levels};
use crate::{
    event::{
        Pdu,
        content::{Field, Membership},
    },
    ident,
    room_version::RoomRules,
};

/// Checks an event against the state before it.
///
/// Signatures, rule 4.2 among them, were checked when the event was verified; rule 2 is [`super::check_auth_events`].
///
/// # Errors
/// The [`Rejection`] of the first rule that is broken.
pub fn check(rules: &'static RoomRules, event: &Pdu, state: &impl StateView) -> Result<(), Rejection> {
    // Rule 1: if type is m.room.create, it decides alone.
    if event.kind() == "m.room.create" {
        return create::check(rules, event);
    }
    let power = Power::of(rules, state)?;
    // Rule 2 of version 12, as far as the state shows it: the room_id is the create event's ID with another sigil.
    if rules.room_id_is_create_hash && event.room_id() != power.create().room_id() {
        return Err(Rejection::RoomIdIsNoCreateEvent);
    }
    check_federation(event, &power)?;

    // Rule 4 before version 6: if type is m.room.aliases:
    if rules.auth.special_case_aliases && event.kind() == "m.room.aliases" {
        // If event has no state_key, reject. If sender's domain doesn't match state_key, reject. Otherwise, allow.
        let matches = event.state_key().is_some() && event.state_key() == ident::server_name(event.sender());
        return if matches { Ok(()) } else { Err(Rejection::AliasesOfOtherServer) };
    }
    // Rule 4: if type is m.room.member, it has rules of its own.
    if event.kind() == "m.room.member" {
        return member::check(rules, event, state, &power);
    }
    // Rule 5: if the sender's current membership state is not join, reject.
    if member::membership(state, event.sender())? != Membership::Join {
        return Err(Rejection::SenderNotJoined);
    }
    // Rule 6: if type is m.room.third_party_invite, allow if and only if sender's current power level is greater than or
    // equal to the invite level.
    if event.kind() == "m.room.third_party_invite" {
        return power.require(event.sender(), Action::Invite).map(drop);
    }
    // Rule 7: if the event type's required power level is greater than the sender's power level, reject.
    let is_state = event.state_key().is_some();
    let (has, needs) = (power.of_user(event.sender())?, power.needed_to_send(event.kind(), is_state)?);
    if !has.reaches(needs) {
        return Err(Rejection::Power { action: send_action(is_state), needs, has });
    }
    // Rule 8: if the event has a state_key that starts with an @ and does not match the sender, reject.
    if event.state_key().is_some_and(|key| key.starts_with('@') && key != event.sender()) {
        return Err(Rejection::StateOfOtherUser);
    }
    match event.kind() {
        // Rule 9: if type is m.room.power_levels, it has rules of its own.
        "m.room.power_levels" => power_levels::check(rules, event, &power, has),
        // Rule 11 before version 3.
        "m.room.redaction" if rules.auth.special_case_redaction => check_redaction(event, &power, has),
        // Rule 10: otherwise, allow.
        _ => Ok(()),
    }
}

/// Rule 3: if the content of the m.room.create event in the room state has the property m.federate set to false, and the
/// sender domain of the event does not match the sender domain of the create event, reject.
fn check_federation(event: &Pdu, power: &Power<'_>) -> Result<(), Rejection> {
    match power.creation().federate {
        Field::Absent | Field::Present(true) => Ok(()),
        Field::Malformed => Err(Rejection::MalformedState("create event")),
        Field::Present(false) => {
            let is_own = ident::server_name(event.sender()) == ident::server_name(power.create().sender());
            if is_own { Ok(()) } else { Err(Rejection::NotFederated) }
        }
    }
}

/// Rule 11 before version 3: if type is m.room.redaction:
fn check_redaction(event: &Pdu, power: &Power<'_>, has: PowerLevel) -> Result<(), Rejection> {
    // 11.1 If the sender's power level is greater than or equal to the redact level, allow.
    if has.reaches(power.needed(Action::Redact)?) {
        return Ok(());
    }
    // 11.2 If the domain of the event_id of the event being redacted is the same as the domain of the event_id of the
    // m.room.redaction, allow. 11.3 Otherwise, reject.
    let domain = event.redacts().and_then(ident::server_name);
    if domain.is_some() && domain == ident::server_name(event.event_id()) {
        Ok(())
    } else {
        Err(Rejection::RedactionOfOtherServer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        auth::test_room::{ALICE, BOB, CAROL, Room},
        room_version::RoomVersion,
    };

    #[test]
    fn only_members_send_and_only_with_the_level_for_it() {
        let room =
            Room::new(RoomVersion::V11).with_member(BOB, "join").with_levels(r#"{"users":{"@alice:a.org":100}}"#);
        assert_eq!(room.send(BOB, "m.room.message"), Ok(()));
        assert_eq!(room.send(CAROL, "m.room.message"), Err(Rejection::SenderNotJoined));
        assert!(matches!(room.set(BOB, "m.room.name", "", "{}"), Err(Rejection::Power { needs: 50, .. })));
        assert_eq!(room.set(ALICE, "m.room.name", "", "{}"), Ok(()));
    }

    #[test]
    fn a_state_key_that_is_anothers_user_id_is_refused_whatever_the_level() {
        let room = Room::new(RoomVersion::V11).with_levels(r#"{"users":{"@alice:a.org":100}}"#);
        assert_eq!(room.set(ALICE, "m.x", BOB, "{}"), Err(Rejection::StateOfOtherUser));
        assert_eq!(room.set(ALICE, "m.x", ALICE, "{}"), Ok(()));
    }

    #[test]
    fn a_room_that_is_not_federated_is_closed_to_other_servers() {
        let create = r#"{"creator":"@alice:a.org","m.federate":false}"#;
        let room = Room::created_with(RoomVersion::V11, create).with_join_rule("public").with_member(CAROL, "join");
        assert_eq!(room.send(CAROL, "m.room.message"), Err(Rejection::NotFederated));
        assert_eq!(room.membership(BOB, BOB, "join"), Ok(()));
    }

    #[test]
    fn aliases_are_a_case_of_their_own_up_to_version_5() {
        let old = Room::new(RoomVersion::V5);
        assert_eq!(old.set(CAROL, "m.room.aliases", "b.org", "{}"), Ok(()));
        assert_eq!(old.set(CAROL, "m.room.aliases", "a.org", "{}"), Err(Rejection::AliasesOfOtherServer));
        assert_eq!(
            Room::new(RoomVersion::V6).set(CAROL, "m.room.aliases", "b.org", "{}"),
            Err(Rejection::SenderNotJoined)
        );
    }

    #[test]
    fn redactions_are_judged_by_authorization_up_to_version_2() {
        let room = |version| Room::new(version).with_member(BOB, "join").with_member(CAROL, "join").with_levels("{}");
        // The redacted event is of a.org; since version 3 the server decides later, knowing that event.
        assert_eq!(room(RoomVersion::V2).send(BOB, "m.room.redaction"), Ok(()));
        assert_eq!(room(RoomVersion::V2).send(CAROL, "m.room.redaction"), Err(Rejection::RedactionOfOtherServer));
        assert_eq!(room(RoomVersion::V3).send(CAROL, "m.room.redaction"), Ok(()));
    }

    #[test]
    fn an_event_of_another_version_12_room_is_refused() {
        let (room, other) = (Room::new(RoomVersion::V12), Room::created_with(RoomVersion::V12, r#"{"a":1}"#));
        assert_eq!(room.check(&other.make("m.room.message", ALICE, None, "{}")), Err(Rejection::RoomIdIsNoCreateEvent));
        assert_eq!(room.send(ALICE, "m.room.message"), Ok(()));
    }
}
