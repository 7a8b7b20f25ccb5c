//! Where verification finds keys, and until when a key counts.

use super::VerifyKey;

/// A server's key, with the times that its server published with it. Times are milliseconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublishedKey {
    /// The key.
    pub key: VerifyKey,
    /// Until when the key is known to be valid; `None` for an old key.
    pub valid_until_ts: Option<u64>,
    /// When the key was last used; `None` for a current key.
    pub expired_ts: Option<u64>,
}

impl PublishedKey {
    /// Whether the key may sign an event of the time `origin_server_ts`.
    ///
    /// An old key counts for what is older than its end, in every room version. A current key counts always before room
    /// version 5, and since then (`enforce_validity`) no longer than it is known to be valid.
    pub fn counts_at(&self, origin_server_ts: i64, enforce_validity: bool) -> bool {
        let not_after = |end: u64| i128::from(origin_server_ts) <= i128::from(end);
        match (self.expired_ts, self.valid_until_ts) {
            (Some(expired), _) => not_after(expired),
            (None, Some(valid_until)) => !enforce_validity || not_after(valid_until),
            (None, None) => !enforce_validity,
        }
    }
}

/// The keys at hand. Keys that are not at hand are fetched before, by someone who may do I/O.
pub trait KeyRing {
    /// The key `key_id` (`ed25519:…`) of `server_name`, if it is known.
    fn key(&self, server_name: &str, key_id: &str) -> Option<PublishedKey>;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signature::Signer;

    #[test]
    fn a_key_counts_for_its_own_time_only() {
        let key = Signer::new("a", "ed25519:1", &[1; 32]).verify_key();
        let current = PublishedKey { key, valid_until_ts: Some(100), expired_ts: None };
        assert!(current.counts_at(100, true));
        assert!(!current.counts_at(101, true));
        assert!(current.counts_at(101, false));
        let old = PublishedKey { key, valid_until_ts: None, expired_ts: Some(50) };
        assert!(old.counts_at(50, true));
        assert!(!old.counts_at(51, false));
        assert!(old.counts_at(-1, true));
    }
}
