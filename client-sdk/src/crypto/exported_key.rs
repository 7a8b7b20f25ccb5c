//! Room keys as they leave a device: in key files, in backups, forwarded.
//!
//! Source: client-server API, "Key exports" and "Backup algorithm: m.megolm_backup.v1.curve25519-aes-sha2".

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};
use vodozemac::megolm::{ExportedSessionKey, InboundGroupSession, SessionConfig};
use zeroize::Zeroize;

/// The one algorithm of rooms that is understood.
pub const MEGOLM: &str = "m.megolm.v1.aes-sha2";

/// Why a room key is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExportedKeyError {
    /// Of another algorithm than [`MEGOLM`].
    #[error("a room key of an unknown algorithm: {0}")]
    Algorithm(String),
    /// The key can't be read.
    #[error("the room key is malformed")]
    Malformed,
    /// The key makes another session than the one that it is said to be of.
    #[error("the room key is of another session than it says")]
    OtherSession,
}

/// A room key with what its device knew of it.
///
/// Whoever holds it reads the session's messages from the key's first index on. Nothing in it is proven: not the room, not the
/// sender. Only the session follows from the key ([`Self::session`]).
#[derive(Clone, Serialize, Deserialize)]
#[serde(from = "Written")]
pub struct ExportedKey {
    /// Always [`MEGOLM`]; may be absent in a backup, where the backup's algorithm stands for it.
    pub algorithm: String,
    /// The devices that forwarded it, the last one at the end.
    pub forwarding_curve25519_key_chain: Vec<String>,
    /// The room; empty in a backup, where it stands outside.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub room_id: String,
    /// Curve25519, unpadded base64.
    pub sender_key: String,
    /// By algorithm; `ed25519` as a rule.
    pub sender_claimed_keys: BTreeMap<String, String>,
    /// The session; empty in a backup, where it stands outside.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub session_id: String,
    /// The ratchet at its first known index, in the format of exports: unpadded base64.
    pub session_key: String,
    /// The room's history was open to those who come later when the key was made.
    #[serde(rename = "m.shared_history")]
    pub shared_history: bool,
}

/// As clients write it: some with the older name of the flag, some with both; the stable one counts.
#[derive(Deserialize)]
struct Written {
    #[serde(default = "megolm")]
    algorithm: String,
    #[serde(default)]
    forwarding_curve25519_key_chain: Vec<String>,
    #[serde(default)]
    room_id: String,
    sender_key: String,
    #[serde(default)]
    sender_claimed_keys: BTreeMap<String, String>,
    #[serde(default)]
    session_id: String,
    session_key: String,
    #[serde(rename = "m.shared_history")]
    shared_history: Option<bool>,
    #[serde(rename = "org.matrix.msc3061.shared_history")]
    shared_history_before: Option<bool>,
}

impl From<Written> for ExportedKey {
    fn from(written: Written) -> Self {
        Self {
            algorithm: written.algorithm,
            forwarding_curve25519_key_chain: written.forwarding_curve25519_key_chain,
            room_id: written.room_id,
            sender_key: written.sender_key,
            sender_claimed_keys: written.sender_claimed_keys,
            session_id: written.session_id,
            session_key: written.session_key,
            shared_history: written.shared_history.or(written.shared_history_before).unwrap_or(false),
        }
    }
}

impl ExportedKey {
    /// The session that the key makes. Its ID is the key's own, and the same as `session_id` where that is said.
    ///
    /// # Errors
    /// [`ExportedKeyError`]; see there.
    pub fn session(&self) -> Result<InboundGroupSession, ExportedKeyError> {
        if self.algorithm != MEGOLM {
            return Err(ExportedKeyError::Algorithm(self.algorithm.clone()));
        }
        let key = ExportedSessionKey::from_base64(&self.session_key).map_err(|_| ExportedKeyError::Malformed)?;
        let session = InboundGroupSession::import(&key, SessionConfig::version_1());
        if !self.session_id.is_empty() && session.session_id() != self.session_id {
            return Err(ExportedKeyError::OtherSession);
        }
        Ok(session)
    }
}

impl Drop for ExportedKey {
    fn drop(&mut self) {
        self.session_key.zeroize();
    }
}

impl fmt::Debug for ExportedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExportedKey")
            .field("room_id", &self.room_id)
            .field("session_id", &self.session_id)
            .finish_non_exhaustive()
    }
}

fn megolm() -> String {
    MEGOLM.to_owned()
}

/// Keys of fresh sessions, for tests.
#[cfg(test)]
pub(super) fn sample(count: usize) -> Vec<ExportedKey> {
    (0..count)
        .map(|number| {
            let outbound = vodozemac::megolm::GroupSession::new(SessionConfig::version_1());
            let inbound = InboundGroupSession::new(&outbound.session_key(), SessionConfig::version_1());
            ExportedKey {
                algorithm: megolm(),
                forwarding_curve25519_key_chain: Vec::new(),
                room_id: format!("!room{number}:example.org"),
                sender_key: "sender".to_owned(),
                sender_claimed_keys: BTreeMap::from([("ed25519".to_owned(), "claimed".to_owned())]),
                session_id: inbound.session_id(),
                session_key: inbound.export_at_first_known_index().to_base64(),
                shared_history: number % 2 == 0,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_makes_the_session_that_it_names_and_no_other() {
        let refused = |key: &ExportedKey| key.session().err().unwrap();
        let [mut key, other] = <[_; 2]>::try_from(sample(2)).unwrap();
        assert_eq!(key.session().unwrap().session_id(), key.session_id);
        key.session_id = other.session_id.clone();
        assert_eq!(refused(&key), ExportedKeyError::OtherSession);
        key.session_id = String::new();
        key.session().unwrap();
        key.session_key.truncate(20);
        assert_eq!(refused(&key), ExportedKeyError::Malformed);
        key.algorithm = "m.other".to_owned();
        assert_eq!(refused(&key), ExportedKeyError::Algorithm("m.other".to_owned()));
    }

    #[test]
    fn both_names_of_shared_history_are_read_and_no_key_is_shown() {
        let [key] = <[_; 1]>::try_from(sample(1)).unwrap();
        assert!(!format!("{key:?}").contains(&key.session_key[..20]));
        let mut json = serde_json::to_value(&key).unwrap();
        assert_eq!(json["m.shared_history"], true);
        json["org.matrix.msc3061.shared_history"] = false.into();
        assert!(serde_json::from_value::<ExportedKey>(json.clone()).unwrap().shared_history);
        json.as_object_mut().unwrap().remove("m.shared_history");
        assert!(!serde_json::from_value::<ExportedKey>(json.clone()).unwrap().shared_history);
        json["org.matrix.msc3061.shared_history"] = true.into();
        assert!(serde_json::from_value::<ExportedKey>(json).unwrap().shared_history);
    }
}
