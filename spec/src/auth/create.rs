//! Rule 1: the event that creates a room.

use super::Rejection;
use crate::{
    event::{Pdu, content::Field},
    ident,
    room_version::{RoomRules, RoomVersion},
};

/// Rule 1: if type is m.room.create:
pub(super) fn check(rules: &RoomRules, event: &Pdu) -> Result<(), Rejection> {
    // 1.1 If it has any prev_events, reject.
    if !event.prev_events().is_empty() {
        return Err(Rejection::CreateHasPrevEvents);
    }
    if rules.room_id_is_create_hash {
        // 1.2 since version 12: if the event has a room_id, reject.
        if event.states_room_id() {
            return Err(Rejection::CreateHasRoomId);
        }
    } else if ident::server_name(event.room_id()) != ident::server_name(event.sender()) {
        // 1.2 If the domain of the room_id does not match the domain of the sender, reject.
        return Err(Rejection::CreateOfOtherServer);
    }
    // Not a state event: it can create nothing. No rule says so; the content could not be found again.
    let content = event.create().ok_or(Rejection::NoCreateEvent)?;
    // 1.3 If content.room_version is present and is not a recognised version, reject.
    match &content.room_version {
        Field::Absent => {}
        Field::Present(version) if RoomVersion::parse(version).is_some() => {}
        Field::Present(_) | Field::Malformed => return Err(Rejection::UnknownRoomVersion),
    }
    // 1.4 before version 11: if content has no creator property, reject.
    if !rules.auth.creator_is_sender && content.creator == Field::Absent {
        return Err(Rejection::NoCreator);
    }
    // 1.4 since version 12: if additional_creators is present in content and is not an array of strings where each string
    // passes the same user ID validation applied to sender, reject.
    if rules.auth.privileged_creators {
        match &content.additional_creators {
            Field::Absent => {}
            Field::Present(creators) if creators.iter().all(|creator| ident::is_user_id(creator)) => {}
            Field::Present(_) | Field::Malformed => return Err(Rejection::InvalidAdditionalCreators),
        }
    }
    // 1.5 Otherwise, allow.
    Ok(())
}
