//! The redaction algorithm: what of an event must stay for the room to keep working.
//!
//! Source: client-server API, "Redactions", and the redaction section of each room version.
//!
//! **Invariant:** whether a redaction is permitted is not decided here.

use crate::{
    canonical_json::{Object, Value},
    room_version::{RedactionRules, RoomRules},
};

/// The redacted copy of `event`, a whole event in federation format.
pub fn redact(rules: &RoomRules, event: &Object) -> Object {
    let kind = event.get_str("type").unwrap_or_default();
    event
        .iter()
        .filter(|(key, _)| keeps_top_level(&rules.redaction, key))
        .map(|(key, value)| match value {
            Value::Object(content) if key == "content" => (key, redact_content(rules, kind, content).into()),
            _ => (key, value.clone()),
        })
        .collect()
}

/// The redacted copy of the content of an event of type `kind`.
pub fn redact_content(rules: &RoomRules, kind: &str, content: &Object) -> Object {
    let rules = &rules.redaction;
    let kept: &[&str] = match kind {
        "m.room.member" if rules.keep_join_authorised => &["join_authorised_via_users_server", "membership"],
        "m.room.member" => &["membership"],
        "m.room.create" if rules.keep_whole_create => return content.clone(),
        "m.room.create" => &["creator"],
        "m.room.join_rules" if rules.keep_join_rules_allow => &["allow", "join_rule"],
        "m.room.join_rules" => &["join_rule"],
        "m.room.power_levels" if rules.keep_power_levels_invite => &POWER_LEVELS,
        "m.room.power_levels" => &POWER_LEVELS[..POWER_LEVELS.len() - 1],
        "m.room.aliases" if rules.keep_aliases => &["aliases"],
        "m.room.history_visibility" => &["history_visibility"],
        "m.room.redaction" if rules.redacts_in_content => &["redacts"],
        _ => &[],
    };
    let mut redacted: Object =
        content.iter().filter(|(key, _)| kept.contains(key)).map(|(key, value)| (key, value.clone())).collect();
    if kind == "m.room.member" && rules.keep_third_party_signed {
        keep_third_party_signed(content, &mut redacted);
    }
    redacted
}

/// `invite` stands last: older versions drop it.
const POWER_LEVELS: [&str; 9] =
    ["ban", "events", "events_default", "kick", "redact", "state_default", "users", "users_default", "invite"];

fn keeps_top_level(rules: &RedactionRules, key: &str) -> bool {
    match key {
        "event_id" | "type" | "room_id" | "sender" | "state_key" | "content" | "hashes" | "signatures" | "depth"
        | "prev_events" | "auth_events" | "origin_server_ts" => true,
        "origin" | "membership" | "prev_state" => rules.keep_legacy_top_level,
        _ => false,
    }
}

fn keep_third_party_signed(content: &Object, redacted: &mut Object) {
    if let Some(invite) = content.get_object("third_party_invite") {
        // The key stays, empty, where there is nothing under `signed`: the hash on other servers counts it.
        let signed = invite.get("signed").map(|signed| ("signed", signed.clone()));
        redacted.insert("third_party_invite", signed.into_iter().collect::<Object>());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        canonical_json::{Numbers, parse_object},
        room_version::RoomVersion,
    };

    fn redacted_content(version: RoomVersion, kind: &str, content: &str) -> String {
        let content = parse_object(content.as_bytes(), Numbers::Strict).unwrap();
        redact_content(version.rules(), kind, &content).to_string()
    }

    #[test]
    fn what_is_kept_of_a_member_grows_with_the_versions() {
        let member = r#"{"displayname":"A","join_authorised_via_users_server":"@b:c","membership":"join",
            "third_party_invite":{"display_name":"A","signed":{"token":"t"}}}"#;
        let kept = |version| redacted_content(version, "m.room.member", member);
        assert_eq!(kept(RoomVersion::V8), r#"{"membership":"join"}"#);
        assert_eq!(kept(RoomVersion::V9), r#"{"join_authorised_via_users_server":"@b:c","membership":"join"}"#);
        assert_eq!(
            kept(RoomVersion::V11),
            r#"{"join_authorised_via_users_server":"@b:c","membership":"join","third_party_invite":{"signed":{"token":"t"}}}"#
        );
    }

    #[test]
    fn version_11_keeps_more_content_and_fewer_top_level_keys() {
        let levels = r#"{"ban":1,"invite":2,"notifications":{"room":3},"users":{}}"#;
        assert_eq!(redacted_content(RoomVersion::V10, "m.room.power_levels", levels), r#"{"ban":1,"users":{}}"#);
        assert_eq!(
            redacted_content(RoomVersion::V11, "m.room.power_levels", levels),
            r#"{"ban":1,"invite":2,"users":{}}"#
        );
        let create = r#"{"creator":"@a:b","room_version":"11"}"#;
        assert_eq!(redacted_content(RoomVersion::V10, "m.room.create", create), r#"{"creator":"@a:b"}"#);
        assert_eq!(redacted_content(RoomVersion::V11, "m.room.create", create), create);

        let event = Object::from([("origin", "b"), ("redacts", "$x"), ("type", "m.room.redaction")]);
        let kept = |version: RoomVersion| redact(version.rules(), &event).to_string();
        assert_eq!(kept(RoomVersion::V10), r#"{"origin":"b","type":"m.room.redaction"}"#);
        assert_eq!(kept(RoomVersion::V11), r#"{"type":"m.room.redaction"}"#);
    }

    #[test]
    fn aliases_are_kept_up_to_version_5_and_allow_from_version_8() {
        let aliases = r#"{"aliases":["a"]}"#;
        assert_eq!(redacted_content(RoomVersion::V5, "m.room.aliases", aliases), aliases);
        assert_eq!(redacted_content(RoomVersion::V6, "m.room.aliases", aliases), "{}");
        let rules = r#"{"allow":[],"join_rule":"restricted"}"#;
        assert_eq!(redacted_content(RoomVersion::V7, "m.room.join_rules", rules), r#"{"join_rule":"restricted"}"#);
        assert_eq!(redacted_content(RoomVersion::V8, "m.room.join_rules", rules), rules);
    }
}
