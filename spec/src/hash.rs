//! Content and reference hashes, and event ids made of them.
//!
//! Source: server-server API, "Calculating the content hash" and "Calculating the reference hash".
//!
//! **Invariant:** hashes are taken over canonical JSON only, never over text as it was received.

use sha2::{Digest as _, Sha256};

use crate::{
    base64,
    canonical_json::Object,
    redaction,
    room_version::{EventIdFormat, RoomRules},
};

/// The SHA-256 of `bytes`.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// The content hash: covers the whole event except `unsigned`, `signatures` and `hashes`.
pub fn content_hash(event: &Object) -> [u8; 32] {
    let mut text = String::with_capacity(1024);
    event.write_without(&["hashes", "signatures", "unsigned"], &mut text);
    sha256(text.as_bytes())
}

/// The reference hash: covers what redaction keeps, the content hash among it, except `signatures` and `unsigned`.
pub fn reference_hash(rules: &RoomRules, event: &Object) -> [u8; 32] {
    sha256(essential_text(rules, event).as_bytes())
}

/// The text that is both signed and hashed for reference: the redacted event without `signatures` and `unsigned`.
pub(crate) fn essential_text(rules: &RoomRules, event: &Object) -> String {
    let mut text = String::with_capacity(1024);
    redaction::redact(rules, event).write_without(&["signatures", "unsigned"], &mut text);
    text
}

/// The event id that a reference hash gives; `None` in versions where the sending server chooses it.
pub fn event_id(rules: &RoomRules, reference_hash: &[u8; 32]) -> Option<String> {
    match rules.event_id {
        EventIdFormat::Domain => None,
        EventIdFormat::HashStandard => Some(format!("${}", base64::encode(reference_hash))),
        EventIdFormat::HashUrlSafe => Some(format!("${}", base64::encode_url_safe(reference_hash))),
    }
}
