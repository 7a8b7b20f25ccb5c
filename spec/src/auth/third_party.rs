//! Rule 4.4.1: an invite that completes an invitation to a third-party identifier.

use super::{Rejection, StateView};
use crate::{
    canonical_json::Object,
    event::{Pdu, content::SignedInvite},
};

/// 4.4.1 If content has a third_party_invite property:
pub(super) fn check(
    event: &Pdu,
    invite: Option<&SignedInvite>,
    target: &str,
    target_is_banned: bool,
    state: &impl StateView,
) -> Result<(), Rejection> {
    // 4.4.1.1 If target user is banned, reject.
    if target_is_banned {
        return Err(Rejection::Banned);
    }
    // 4.4.1.2 If content.third_party_invite does not have a signed property, reject.
    // 4.4.1.3 If signed does not have mxid and token properties, reject.
    let invite = invite.ok_or(Rejection::ThirdPartyInviteMalformed)?;
    // 4.4.1.4 If mxid does not match state_key, reject.
    if *invite.mxid != *target {
        return Err(Rejection::ThirdPartyInviteMalformed);
    }
    // 4.4.1.5 If there is no m.room.third_party_invite event in the current room state with state_key matching token, reject.
    let invitation =
        state.event("m.room.third_party_invite", &invite.token).ok_or(Rejection::ThirdPartyInviteUnknown)?;
    // 4.4.1.6 If sender does not match sender of the m.room.third_party_invite, reject.
    if event.sender() != invitation.sender() {
        return Err(Rejection::ThirdPartyInviteUnknown);
    }
    // 4.4.1.7 If any signature in signed matches any public key in the m.room.third_party_invite event, allow.
    // 4.4.1.8 Otherwise, reject.
    let keys = invitation.third_party_invite().map(|content| content.public_keys.as_slice()).unwrap_or_default();
    let mut text = String::new();
    invite.signed.write_without(&["signatures", "unsigned"], &mut text);
    let matches = signatures(&invite.signed)
        .any(|signature| keys.iter().any(|key| key.verify_base64(text.as_bytes(), signature)));
    if matches { Ok(()) } else { Err(Rejection::ThirdPartyInviteSignature) }
}

/// Every ed25519 signature under every entity's name.
fn signatures(signed: &Object) -> impl Iterator<Item = &str> {
    let entities = signed.get_object("signatures").into_iter().flat_map(Object::values);
    let of_entity = entities.filter_map(|entity| entity.as_object()).flat_map(Object::iter);
    of_entity.filter(|(key_id, _)| key_id.starts_with("ed25519:")).filter_map(|(_, signature)| signature.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        auth::test_room::{ALICE, BOB, CAROL, Room, object},
        room_version::RoomVersion,
        signature::Signer,
    };

    fn identity_server(seed: u8) -> Signer {
        Signer::new("id.org", "ed25519:0", &[seed; 32])
    }

    fn room() -> Room {
        let invitation =
            format!(r#"{{"public_keys":[{{"public_key":"{}"}}]}}"#, identity_server(1).verify_key().to_base64());
        Room::new(RoomVersion::V11).with("m.room.third_party_invite", ALICE, "token", &invitation)
    }

    fn invite(room: &Room, sender: &str, target: &str, token: &str, seed: u8) -> Result<(), Rejection> {
        let mut signed = object(&format!(r#"{{"mxid":"{BOB}","token":"{token}"}}"#));
        identity_server(seed).sign_object(&mut signed);
        let content = format!(r#"{{"membership":"invite","third_party_invite":{{"signed":{signed}}}}}"#);
        room.set(sender, "m.room.member", target, &content)
    }

    #[test]
    fn an_identity_servers_word_completes_the_inviters_invitation() {
        assert_eq!(invite(&room(), ALICE, BOB, "token", 1), Ok(()));
        assert_eq!(invite(&room(), ALICE, BOB, "token", 2), Err(Rejection::ThirdPartyInviteSignature));
        assert_eq!(invite(&room(), ALICE, BOB, "other", 1), Err(Rejection::ThirdPartyInviteUnknown));
        assert_eq!(invite(&room(), CAROL, BOB, "token", 1), Err(Rejection::ThirdPartyInviteUnknown));
        assert_eq!(invite(&room(), ALICE, CAROL, "token", 1), Err(Rejection::ThirdPartyInviteMalformed));
        assert_eq!(invite(&room().with_member(BOB, "ban"), ALICE, BOB, "token", 1), Err(Rejection::Banned));
    }

    #[test]
    fn an_incomplete_one_does_not_fall_back_to_an_ordinary_invite() {
        let content = r#"{"membership":"invite","third_party_invite":{}}"#;
        let verdict = room().set(ALICE, "m.room.member", BOB, content);
        assert_eq!(verdict, Err(Rejection::ThirdPartyInviteMalformed));
    }
}
