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
