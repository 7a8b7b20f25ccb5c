//! Keys of servers: so far our own, as others fetch them.

use roost_spec::{
    canonical_json::Object,
    signature::{ServerKeys, Signer, VerifyKey},
};

/// How long others may keep what they fetched, in milliseconds: after a change of keys the old document lives a day at most.
const VALID_MS: u64 = 24 * 60 * 60 * 1000;

/// The document for `GET /_matrix/key/v2/server` at `now` (milliseconds since 1970): the key that signs, and `old` ones with
/// the times of their last use. Signed by the server itself.
pub fn publish<'a>(signer: &Signer, old: impl IntoIterator<Item = (&'a str, VerifyKey, u64)>, now: u64) -> Object {
    ServerKeys::publish(signer, old, now + VALID_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_believes_the_document_and_knows_how_long() {
        let signer = Signer::new("example.org", "ed25519:1", &[7; 32]);
        let document = publish(&signer, [], 1000).to_canonical();
        let keys = ServerKeys::verify(document.as_bytes(), "example.org", 1000).unwrap();
        assert_eq!(keys.key("ed25519:1").unwrap().valid_until_ts, Some(1000 + VALID_MS));
        assert!(ServerKeys::verify(document.as_bytes(), "example.com", 1000).is_err());
    }
}
