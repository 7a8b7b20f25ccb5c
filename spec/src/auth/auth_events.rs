//! What an event's own `auth_events` must be, whatever the room's state.

use super::{Rejection, create, selection};
use crate::{event::Pdu, ident, room_version::RoomRules};

/// An event that another cites.
#[derive(Debug, Clone, Copy)]
pub struct AuthEvent<'a> {
    /// The cited event.
    pub event: &'a Pdu,
    /// Whether it was rejected.
    pub rejected: bool,
}

/// Checks an event against the events that it cites, and the rules that need no state.
///
/// `cited` are its auth events; all of them, fetched by the caller. `create` is the room's create event where the room id
/// names it (room version 12 and later); it is ignored before.
///
/// # Errors
/// The [`Rejection`] of the first rule that is broken.
pub fn check_auth_events<'a>(
    rules: &RoomRules,
    event: &Pdu,
    cited: impl IntoIterator<Item = AuthEvent<'a>>,
    create: Option<AuthEvent<'_>>,
) -> Result<(), Rejection> {
    // Rule 1 decides on create events alone; they cite nothing.
    if event.kind() == "m.room.create" {
        return create::check(rules, event);
    }
    // Rule 2 of version 12: if the event's room_id is not an event ID for an accepted (not rejected) m.room.create event,
    // with the sigil ! instead of $, reject.
    if rules.room_id_is_create_hash {
        let create = create.filter(|create| !create.rejected && create.event.is_state("m.room.create", ""));
        let id = ident::create_event_id(event.room_id());
        if create.is_none_or(|create| id.as_deref() != Some(create.event.event_id())) {
            return Err(Rejection::RoomIdIsNoCreateEvent);
        }
    }

    // Rule 2: considering the event's auth_events:
    let selected = selection(rules, event.kind(), event.sender(), event.state_key(), event.content());
    let mut seen = Vec::with_capacity(selected.len());
    for AuthEvent { event: cited, rejected } in cited {
        let event_id = || cited.event_id().to_owned();
        let key =
            (cited.kind(), cited.state_key().ok_or_else(|| Rejection::UnneededAuthEvent { event_id: event_id() })?);
        // 2.1 If there are duplicate entries for a given type and state_key pair, reject.
        if seen.contains(&key) {
            return Err(Rejection::DuplicateAuthEvent { kind: key.0.into(), state_key: key.1.into() });
        }
        // 2.2 If there are entries whose type and state_key don't match those specified by the auth events selection
        // algorithm, reject.
        if !selected.contains(&key) {
            return Err(Rejection::UnneededAuthEvent { event_id: event_id() });
        }
        // 2.3 If there are entries which were themselves rejected, reject.
        if rejected {
            return Err(Rejection::RejectedAuthEvent { event_id: event_id() });
        }
        // 2.5 If any event in auth_events has a room_id which does not match that of the event being authorised, reject.
        if cited.room_id() != event.room_id() {
            return Err(Rejection::AuthEventOfOtherRoom { event_id: event_id() });
        }
        seen.push(key);
    }
    // 2.4 If there is no m.room.create event among the entries, reject. (Not in version 12, see its rule 2.)
    if !rules.room_id_is_create_hash && !seen.contains(&("m.room.create", "")) {
        return Err(Rejection::NoCreateEvent);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        auth::{
            StateView as _,
            test_room::{ALICE, BOB, Room},
        },
        room_version::RoomVersion,
    };

    /// The verdict on a message of Alice's that cites these events.
    fn citing(room: &Room, keys: &[(&str, &str)]) -> Result<(), Rejection> {
        let event = room.make("m.room.message", ALICE, None, "{}");
        let cited = keys.iter().map(|(kind, state_key)| accepted(room, kind, state_key));
        check_auth_events(room.version.rules(), &event, cited, Some(accepted(room, "m.room.create", "")))
    }

    fn accepted<'a>(room: &'a Room, kind: &str, state_key: &str) -> AuthEvent<'a> {
        AuthEvent { event: room.event(kind, state_key).unwrap(), rejected: false }
    }

    const CREATE: (&str, &str) = ("m.room.create", "");
    const MEMBER: (&str, &str) = ("m.room.member", ALICE);

    #[test]
    fn an_event_cites_what_it_needs_and_nothing_else() {
        let room = Room::new(RoomVersion::V11).with_member(BOB, "join");
        assert_eq!(citing(&room, &[CREATE, MEMBER]), Ok(()));
        assert_eq!(citing(&room, &[MEMBER]), Err(Rejection::NoCreateEvent));
        assert!(matches!(citing(&room, &[CREATE, MEMBER, MEMBER]), Err(Rejection::DuplicateAuthEvent { .. })));
        assert!(matches!(citing(&room, &[CREATE, ("m.room.member", BOB)]), Err(Rejection::UnneededAuthEvent { .. })));
    }

    #[test]
    fn from_version_12_on_the_room_id_stands_for_the_create_event() {
        let room = Room::new(RoomVersion::V12);
        assert_eq!(citing(&room, &[MEMBER]), Ok(()));
        assert!(matches!(citing(&room, &[CREATE, MEMBER]), Err(Rejection::UnneededAuthEvent { .. })));

        let event = room.make("m.room.message", ALICE, None, "{}");
        let with_create = |create| check_auth_events(room.version.rules(), &event, [], create);
        assert_eq!(with_create(None), Err(Rejection::RoomIdIsNoCreateEvent));
        let rejected = AuthEvent { rejected: true, ..accepted(&room, "m.room.create", "") };
        assert_eq!(with_create(Some(rejected)), Err(Rejection::RoomIdIsNoCreateEvent));
        let other = Room::created_with(RoomVersion::V12, r#"{"other":1}"#);
        assert_eq!(with_create(Some(accepted(&other, "m.room.create", ""))), Err(Rejection::RoomIdIsNoCreateEvent));
    }

    #[test]
    fn rejected_and_foreign_events_permit_nothing() {
        let (room, other) = (Room::new(RoomVersion::V12), Room::created_with(RoomVersion::V12, r#"{"other":1}"#));
        let event = room.make("m.room.message", ALICE, None, "{}");
        let citing = |cited| {
            check_auth_events(room.version.rules(), &event, [cited], Some(accepted(&room, "m.room.create", "")))
        };
        let rejected = AuthEvent { rejected: true, ..accepted(&room, MEMBER.0, MEMBER.1) };
        assert!(matches!(citing(rejected), Err(Rejection::RejectedAuthEvent { .. })));
        assert!(matches!(citing(accepted(&other, MEMBER.0, MEMBER.1)), Err(Rejection::AuthEventOfOtherRoom { .. })));
    }
}
