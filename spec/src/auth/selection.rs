//! Which state events an event cites as those that permit it.

use crate::{
    canonical_json::{Object, Value},
    room_version::RoomRules,
};

/// The auth events selection: type and state key of each state event that an event must cite, where the room has it.
///
/// Source: server-server API, "Auth events selection".
pub fn selection<'a>(
    rules: &RoomRules,
    kind: &str,
    sender: &'a str,
    state_key: Option<&'a str>,
    content: &'a Object,
) -> Vec<(&'static str, &'a str)> {
    // "The auth_events for the m.room.create event in a room is empty."
    if kind == "m.room.create" {
        return Vec::new();
    }
    let mut selected = Vec::with_capacity(6);
    // "Depending on the room version, the m.room.create event": since version 12 the room id says which.
    if !rules.room_id_is_create_hash {
        selected.push(("m.room.create", ""));
    }
    // "The current m.room.power_levels event, if any. The sender's current m.room.member event, if any."
    selected.push(("m.room.power_levels", ""));
    selected.push(("m.room.member", sender));

    let ("m.room.member", Some(target)) = (kind, state_key) else { return selected };
    // "The target's current m.room.member event, if any."
    push_new(&mut selected, ("m.room.member", target));
    let membership = content.get_str("membership");
    // "If membership is join, invite or knock, the current m.room.join_rules event, if any."
    if let Some("join" | "invite" | "knock") = membership {
        selected.push(("m.room.join_rules", ""));
    }
    // "If membership is invite and content contains a third_party_invite property, the current
    // m.room.third_party_invite event with state_key matching content.third_party_invite.signed.token, if any."
    if membership == Some("invite")
        && let Some(signed) = content.get_object("third_party_invite").and_then(|invite| invite.get_object("signed"))
        && let Some(token) = signed.get_str("token")
    {
        selected.push(("m.room.third_party_invite", token));
    }
    // "If membership is join, content.join_authorised_via_users_server is present, and the room version supports
    // restricted rooms, then the m.room.member event with state_key matching it."
    if membership == Some("join")
        && rules.auth.restricted_joins
        && let Some(via) = content.get("join_authorised_via_users_server").and_then(Value::as_str)
    {
        push_new(&mut selected, ("m.room.member", via));
    }
    selected
}

fn push_new<'a>(selected: &mut Vec<(&'static str, &'a str)>, key: (&'static str, &'a str)) {
    if !selected.contains(&key) {
        selected.push(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::room_version::RoomVersion;

    #[test]
    fn a_message_cites_create_only_where_the_room_id_does_not_name_it() {
        let of =
            |version: RoomVersion| selection(version.rules(), "m.room.message", "@a:b", None, &Object::new()).len();
        assert_eq!(of(RoomVersion::V11), 3);
        assert_eq!(of(RoomVersion::V12), 2);
    }

    #[test]
    fn a_restricted_join_cites_the_user_who_permits_it() {
        let content = Object::from([("join_authorised_via_users_server", "@c:d"), ("membership", "join")]);
        let of = |version: RoomVersion| selection(version.rules(), "m.room.member", "@a:b", Some("@a:b"), &content);
        assert!(of(RoomVersion::V8).contains(&("m.room.member", "@c:d")));
        assert!(!of(RoomVersion::V7).contains(&("m.room.member", "@c:d")));
        assert_eq!(of(RoomVersion::V8).iter().filter(|key| **key == ("m.room.member", "@a:b")).count(), 1);
    }
}
