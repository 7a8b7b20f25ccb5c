//! Checking the signatures that a JSON object carries.

use super::{ALGORITHM, KeyRing, PublishedKey};
use crate::canonical_json::Object;

/// Why an object does not count as signed by a server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// There is nothing under the server's name.
    #[error("there is no signature of {server_name}")]
    Missing {
        /// The server that should have signed.
        server_name: String,
    },
    /// There are signatures, but none with a key that is known and counts.
    #[error("no signature of {server_name} was made with a key that is known and valid for this time")]
    NoUsableKey {
        /// The server that should have signed.
        server_name: String,
    },
    /// A signature with a known key is wrong.
    #[error("the signature of {server_name} with {key_id} is wrong")]
    Wrong {
        /// The server that is said to have signed.
        server_name: String,
        /// The key that is said to have signed.
        key_id: String,
    },
}

/// Checks that `object` is signed by `server_name`: at least one signature with a known key, and none with one that is wrong.
///
/// # Errors
/// [`SignatureError`]; see there.
pub fn verify_object(object: &Object, server_name: &str, keys: &impl KeyRing) -> Result<(), SignatureError> {
    let mut text = String::with_capacity(512);
    object.write_without(&["signatures", "unsigned"], &mut text);
    verify_text(&text, object, server_name, |key_id| keys.key(server_name, key_id))
}

/// As [`verify_object`], over a text that was already made of it, with the keys that `find` finds.
pub(crate) fn verify_text(
    text: &str,
    object: &Object,
    server_name: &str,
    find: impl Fn(&str) -> Option<PublishedKey>,
) -> Result<(), SignatureError> {
    let signatures = object
        .get_object("signatures")
        .and_then(|signatures| signatures.get_object(server_name))
        .ok_or_else(|| SignatureError::Missing { server_name: server_name.into() })?;
    let mut verified = false;
    for (key_id, signature) in signatures.iter() {
        // Other algorithms and unknown keys are passed over, as the specification asks.
        let Some(found) = is_ours(key_id).then(|| find(key_id)).flatten() else { continue };
        if !signature.as_str().is_some_and(|signature| found.key.verify_base64(text.as_bytes(), signature)) {
            return Err(SignatureError::Wrong { server_name: server_name.into(), key_id: key_id.into() });
        }
        verified = true;
    }
    if verified { Ok(()) } else { Err(SignatureError::NoUsableKey { server_name: server_name.into() }) }
}

/// Whether a key id names the algorithm that we understand.
pub(super) fn is_ours(key_id: &str) -> bool {
    key_id.split_once(':').is_some_and(|(algorithm, _)| algorithm == ALGORITHM)
}
