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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::test_room::{ALICE, CAROL, Room};

    fn create(version: RoomVersion, sender: &str, content: &str) -> Result<(), Rejection> {
        let room = Room::new(version);
        // Without a room before it, it stands in !r:a.org, or makes its own.
        let event = match version {
            RoomVersion::V12 => room.make("m.room.create", sender, Some(""), content),
            _ => Room::created_with(version, content).make("m.room.create", sender, Some(""), content),
        };
        room.check(&event)
    }

    #[test]
    fn a_server_creates_rooms_of_its_own_with_a_known_version() {
        let creator = r#"{"creator":"@alice:a.org","room_version":"10"}"#;
        assert_eq!(create(RoomVersion::V10, ALICE, creator), Ok(()));
        assert_eq!(create(RoomVersion::V10, CAROL, creator), Err(Rejection::CreateOfOtherServer));
        assert_eq!(create(RoomVersion::V10, ALICE, "{}"), Err(Rejection::NoCreator));
        assert_eq!(create(RoomVersion::V11, ALICE, "{}"), Ok(()));
        assert_eq!(create(RoomVersion::V11, ALICE, r#"{"room_version":"99"}"#), Err(Rejection::UnknownRoomVersion));
        assert_eq!(create(RoomVersion::V11, ALICE, r#"{"room_version":11}"#), Err(Rejection::UnknownRoomVersion));
    }

    #[test]
    fn additional_creators_must_be_users_from_version_12_on() {
        for (content, verdict) in [
            (r#"{"additional_creators":["@carol:b.org"]}"#, Ok(())),
            (r#"{"additional_creators":["carol"]}"#, Err(Rejection::InvalidAdditionalCreators)),
            (r#"{"additional_creators":[1]}"#, Err(Rejection::InvalidAdditionalCreators)),
            (r#"{"additional_creators":"@carol:b.org"}"#, Err(Rejection::InvalidAdditionalCreators)),
        ] {
            assert_eq!(create(RoomVersion::V12, ALICE, content), verdict, "{content}");
            assert_eq!(create(RoomVersion::V11, ALICE, content), Ok(()));
        }
    }

    #[test]
    fn a_version_12_create_event_that_says_its_room_is_refused() {
        let rules = RoomVersion::V12.rules();
        let json = r#"{"auth_events":[],"content":{},"depth":1,"origin_server_ts":1,"prev_events":[],"room_id":"!r:a.org",
            "sender":"@alice:a.org","state_key":"","type":"m.room.create"}"#;
        let event = Pdu::parse_trusted(rules, json, None).unwrap();
        assert_eq!(check(rules, &event), Err(Rejection::CreateHasRoomId));
    }
}
