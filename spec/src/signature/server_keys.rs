//! The document in which a server publishes its keys (`GET /_matrix/key/v2/server`).

use super::{PublishedKey, SignatureError, Signer, VerifyKey, check};
use crate::canonical_json::{Error as JsonError, Numbers, Object, Value, parse_object};

/// A server's keys, from a document that the server itself has signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerKeys {
    server_name: Box<str>,
    keys: Vec<(Box<str>, PublishedKey)>,
    document: Object,
}

/// Why a key document was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServerKeysError {
    /// It is no acceptable JSON object.
    #[error(transparent)]
    Json(#[from] JsonError),
    /// A key is missing or of another type than the specification says.
    #[error("`{0}` is missing or malformed")]
    Malformed(&'static str),
    /// It speaks for another server than the one that was asked.
    #[error("the document is of {0}")]
    OtherServer(String),
    /// It is not signed with any of the keys that it lists, or wrongly.
    #[error(transparent)]
    Signature(#[from] SignatureError),
}

/// No key is trusted for longer than this, whatever its server says: a stolen key must be revocable.
const LONGEST_TRUST_MS: u64 = 7 * 24 * 60 * 60 * 1000;

impl ServerKeys {
    /// Reads and verifies the document of `server_name`, received at `now` (milliseconds since the Unix epoch).
    ///
    /// # Errors
    /// [`ServerKeysError`]; see there.
    pub fn verify(bytes: &[u8], server_name: &str, now: u64) -> Result<Self, ServerKeysError> {
        Self::verify_object(parse_object(bytes, Numbers::Lenient)?, server_name, now)
    }

    /// As [`Self::verify`], for a document within another (a notary's answer).
    ///
    /// # Errors
    /// [`ServerKeysError`]; see there.
    pub fn verify_object(document: Object, server_name: &str, now: u64) -> Result<Self, ServerKeysError> {
        match document.get_str("server_name") {
            Some(name) if name == server_name => {}
            Some(other) => return Err(ServerKeysError::OtherServer(other.into())),
            None => return Err(ServerKeysError::Malformed("server_name")),
        }
        let until = timestamp(document.get("valid_until_ts")).ok_or(ServerKeysError::Malformed("valid_until_ts"))?;
        let valid_until_ts = Some(until.min(now.saturating_add(LONGEST_TRUST_MS)));
        let mut keys = Vec::new();
        let listed = document.get_object("verify_keys").ok_or(ServerKeysError::Malformed("verify_keys"))?;
        for (key_id, entry) in listed.iter().filter(|(key_id, _)| check::is_ours(key_id)) {
            let key = key_of(entry).ok_or(ServerKeysError::Malformed("verify_keys"))?;
            keys.push((key_id.into(), PublishedKey { key, valid_until_ts, expired_ts: None }));
        }
        let of_document = |key_id: &str| find(&keys, key_id);
        let mut text = String::with_capacity(512);
        document.write_without(&["signatures", "unsigned"], &mut text);
        check::verify_text(&text, &document, server_name, of_document)?;

        // Only after the signature: old keys prove nothing about the document itself.
        for (key_id, entry) in document.get_object("old_verify_keys").into_iter().flat_map(Object::iter) {
            let expired_ts = entry.as_object().and_then(|entry| timestamp(entry.get("expired_ts")));
            if let (true, Some(key), Some(_), None) =
                (check::is_ours(key_id), key_of(entry), expired_ts, find(&keys, key_id))
            {
                keys.push((key_id.into(), PublishedKey { key, valid_until_ts: None, expired_ts }));
            }
        }
        Ok(Self { server_name: server_name.into(), keys, document })
    }

    /// The document that publishes `signer`'s key until `valid_until_ts`, and `old` keys with the time of their last use.
    pub fn publish<'a>(
        signer: &Signer,
        old: impl IntoIterator<Item = (&'a str, VerifyKey, u64)>,
        valid_until_ts: u64,
    ) -> Object {
        let current = Object::from([("key", signer.verify_key().to_base64())]);
        let old: Object = old
            .into_iter()
            .map(|(key_id, key, expired_ts)| {
                let entry: [(&str, Value); 2] =
                    [("expired_ts", integer(expired_ts).into()), ("key", key.to_base64().into())];
                (key_id, Object::from(entry))
            })
            .collect();
        let entries: [(&str, Value); 4] = [
            ("old_verify_keys", old.into()),
            ("server_name", signer.server_name().into()),
            ("valid_until_ts", integer(valid_until_ts).into()),
            ("verify_keys", Object::from([(signer.key_id(), current)]).into()),
        ];
        let mut document = Object::from(entries);
        signer.sign_object(&mut document);
        document
    }

    /// The server whose keys these are.
    pub fn server_name(&self) -> &str {
        &self.server_name
    }

    /// The key `key_id`, current or old.
    pub fn key(&self, key_id: &str) -> Option<PublishedKey> {
        find(&self.keys, key_id)
    }

    /// All keys with their ids.
    pub fn keys(&self) -> impl Iterator<Item = (&str, &PublishedKey)> {
        self.keys.iter().map(|(key_id, key)| (&**key_id, key))
    }

    /// The document itself, as a notary passes it on.
    pub fn document(&self) -> &Object {
        &self.document
    }
}

fn find(keys: &[(Box<str>, PublishedKey)], key_id: &str) -> Option<PublishedKey> {
    keys.iter().find(|(candidate, _)| **candidate == *key_id).map(|(_, key)| *key)
}

fn key_of(entry: &Value) -> Option<VerifyKey> {
    VerifyKey::from_base64(entry.as_object()?.get_str("key")?)
}

fn timestamp(value: Option<&Value>) -> Option<u64> {
    value?.as_integer()?.try_into().ok()
}

fn integer(timestamp: u64) -> i64 {
    i64::try_from(timestamp).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000_000;

    fn document() -> Object {
        let old = Signer::new("a.org", "ed25519:old", &[2; 32]).verify_key();
        ServerKeys::publish(&Signer::new("a.org", "ed25519:1", &[1; 32]), [("ed25519:old", old, 5)], NOW * 2)
    }

    #[test]
    fn a_published_document_is_verified_and_its_trust_is_cut_to_a_week() {
        let keys = ServerKeys::verify_object(document(), "a.org", NOW).unwrap();
        assert_eq!(keys.key("ed25519:1").unwrap().valid_until_ts, Some(NOW + LONGEST_TRUST_MS));
        assert_eq!(keys.key("ed25519:old").unwrap().expired_ts, Some(5));
        assert_eq!(keys.keys().count(), 2);
    }

    #[test]
    fn a_document_of_another_server_or_with_another_key_is_refused() {
        assert!(matches!(
            ServerKeys::verify_object(document(), "b.org", NOW),
            Err(ServerKeysError::OtherServer(name)) if name == "a.org"
        ));
        let mut forged = document();
        let other = Signer::new("a.org", "ed25519:1", &[3; 32]).verify_key().to_base64();
        forged.insert("verify_keys", Object::from([("ed25519:1", Object::from([("key", other)]))]));
        assert!(matches!(
            ServerKeys::verify_object(forged, "a.org", NOW),
            Err(ServerKeysError::Signature(SignatureError::Wrong { .. }))
        ));
    }
}
