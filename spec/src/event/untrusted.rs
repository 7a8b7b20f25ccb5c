//! An event that another server sent us.

use super::{FormatError, Pdu, format, pdu};
use crate::{
    base64,
    canonical_json::{Object, Value, parse_object_without},
    hash, ident, redaction,
    room_version::RoomRules,
    signature::{KeyRing, SignatureError, verify_text},
};

/// A well-formed event whose origin is not proven yet.
#[derive(Debug, Clone)]
pub struct Untrusted {
    rules: &'static RoomRules,
    event: Object,
    event_id: Box<str>,
}

/// Why an event is not accepted from another server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// It is no event.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// A server that must have signed it has not.
    #[error(transparent)]
    Signature(#[from] SignatureError),
}

impl Untrusted {
    /// Reads an event in federation format. Its `unsigned` says nothing that counts and is passed over, whatever it holds: an
    /// event that stands within a larger document is to be read from its own text, as it stands there.
    ///
    /// # Errors
    /// If it is not well-formed in this room version; nothing is said about its origin.
    pub fn parse(rules: &'static RoomRules, json: &[u8]) -> Result<Self, FormatError> {
        let event = parse_object_without(json, rules.numbers, "unsigned")?;
        format::check(rules, &event)?;
        if content_hash(&event).is_none() {
            return Err(FormatError::WrongType("hashes"));
        }
        let event_id = pdu::compute_event_id(rules, &event)?;
        Ok(Self { rules, event, event_id })
    }

    /// The id that the event claims (room versions 1 and 2) or that its hash gives.
    pub fn event_id(&self) -> &str {
        &self.event_id
    }

    /// The room that the event claims; `None` for a create event since room version 12.
    pub fn room_id(&self) -> Option<&str> {
        self.event.get_str("room_id")
    }

    /// The event's claims.
    pub fn object(&self) -> &Object {
        &self.event
    }

    /// The servers that must have signed: fetch their keys before [`Self::verify`].
    pub fn signers(&self) -> Vec<&str> {
        // "Events must be signed by the server denoted by the sender property", but the server of an invited third party
        // may complete an invitation in the inviter's name.
        let sender = if self.is_third_party_invite() { None } else { self.event.get_str("sender") };
        // "Room versions 1 and 2 also require a signature from the domain in the event_id."
        let namespace = self.rules.references_carry_hashes().then_some(self.event_id());
        // Rule 4.2: "If the event is not validly signed by the homeserver of the user ID denoted by the
        // join_authorised_via_users_server key, reject."
        let restricted = self.rules.auth.restricted_joins && self.membership() == Some("join");
        let authorising =
            self.content().filter(|_| restricted).and_then(|c| c.get_str("join_authorised_via_users_server"));

        let mut signers = Vec::with_capacity(2);
        for server in [sender, namespace, authorising].into_iter().flatten().filter_map(ident::server_name) {
            if !signers.contains(&server) {
                signers.push(server);
            }
        }
        signers
    }

    /// Each key that a server in [`Self::signers`] signed with: `(server, key id)`.
    pub fn wanted_keys(&self) -> impl Iterator<Item = (&str, &str)> {
        let signatures = self.event.get_object("signatures");
        self.signers().into_iter().flat_map(move |server| {
            let of_server = signatures.and_then(|signatures| signatures.get_object(server));
            of_server.into_iter().flat_map(Object::keys).map(move |key_id| (server, key_id))
        })
    }

    /// Checks the signatures, then the content hash. If the hash does not fit, we hold a redacted or tampered copy, and
    /// its redacted form is the event.
    ///
    /// # Errors
    /// If a signature is missing or wrong, or the event too large.
    pub fn verify(self, keys: &impl KeyRing) -> Result<Pdu, VerifyError> {
        let time = format::timestamp(&self.event)?;
        let text = hash::essential_text(self.rules, &self.event);
        for server in self.signers() {
            verify_text(&text, &self.event, server, |key_id| {
                keys.key(server, key_id).filter(|key| key.counts_at(time, self.rules.enforce_key_validity))
            })?;
        }
        let whole = content_hash(&self.event) == Some(hash::content_hash(&self.event));
        let event = if whole { self.event } else { redaction::redact(self.rules, &self.event) };
        Ok(Pdu::assemble(self.rules, event, Some(&self.event_id))?.within_limits()?)
    }

    fn content(&self) -> Option<&Object> {
        self.event.get_object("content")
    }

    fn membership(&self) -> Option<&str> {
        if self.event.get_str("type") != Some("m.room.member") {
            return None;
        }
        self.content()?.get_str("membership")
    }

    fn is_third_party_invite(&self) -> bool {
        let invite = self.content().and_then(|content| content.get("third_party_invite"));
        self.membership() == Some("invite") && matches!(invite, Some(Value::Object(_)))
    }
}

/// The content hash that the event carries.
fn content_hash(event: &Object) -> Option<[u8; 32]> {
    base64::decode(event.get_object("hashes")?.get_str("sha256")?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{event::Draft, room_version::RoomVersion, signature::Signer};

    #[test]
    fn unsigned_never_decides_whether_an_event_is_taken() {
        let signer = Signer::new("a.org", "ed25519:1", &[7; 32]);
        let draft = Draft {
            room_id: Some("!r:a.org".into()),
            kind: "m.room.message".into(),
            sender: "@u:a.org".into(),
            prev_events: vec!["$p".into()],
            ..Draft::default()
        };
        let deep = "[".repeat(3000) + &"]".repeat(3000);
        let large = format!("\"{}\"", "x".repeat(70_000));
        for version in RoomVersion::ALL {
            let event = draft.clone().sign(version.rules(), &signer).unwrap();
            for odd in [r#"{"age":1.5}"#, r#""\ud800""#, "9007199254740993", "null", &deep, &large] {
                let json = format!("{{\"unsigned\":{odd},{}", &event.json()[1..]);
                let read = Untrusted::parse(version.rules(), json.as_bytes()).unwrap();
                assert_eq!(read.event_id(), event.event_id(), "{version}");
                let read = Pdu::parse_trusted(version.rules(), &json, None).unwrap();
                assert_eq!(read.json(), event.json(), "{version}");
            }
        }
    }
}
