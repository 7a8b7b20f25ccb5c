//! The cipher of the key backup on the server, `m.megolm_backup.v1.curve25519-aes-sha2`.
//!
//! Source: client-server API, "Backup algorithm". Its MAC covers nothing: whoever may write into the backup may put anything
//! into it. What comes out is checked against itself ([`ExportedKey::session`]) and trusted no further.

use std::fmt;

use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use vodozemac::{
    Curve25519PublicKey, Curve25519SecretKey,
    pk_encryption::{Message, PkDecryption, PkEncryption},
};
use zeroize::Zeroizing;

use super::{
    exported_key::{ExportedKey, ExportedKeyError},
    recovery_key::{self, RecoveryKeyError},
};

/// The algorithm's name.
pub const ALGORITHM: &str = "m.megolm_backup.v1.curve25519-aes-sha2";

/// Why a room key does not come out of a backup.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyBackupError {
    /// The backup's public key, or a key that the entry was made with, is none.
    #[error("a key of the backup is malformed")]
    Key,
    /// The entry was made for another backup, or is damaged.
    #[error("the entry can't be decrypted with this backup's key")]
    Decrypt,
    /// What was decrypted is no room key.
    #[error("the entry holds no room key")]
    NotAKey,
    /// The room key is not what it says, or not of the session whose place it stands in.
    #[error(transparent)]
    RoomKey(#[from] ExportedKeyError),
}

/// `session_data` of an entry, as the server keeps it: unpadded base64 throughout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionData {
    /// The encrypted room key.
    pub ciphertext: String,
    /// Proves nothing; see the module.
    pub mac: String,
    /// The key that was made for this entry.
    pub ephemeral: String,
}

/// The public half, which writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackupPublicKey(Curve25519PublicKey);

impl BackupPublicKey {
    /// Reads `public_key` of the backup's `auth_data`. Whether it is the user's own, its signatures say.
    ///
    /// # Errors
    /// [`KeyBackupError::Key`].
    pub fn from_base64(text: &str) -> Result<Self, KeyBackupError> {
        Curve25519PublicKey::from_base64(text).map(Self).map_err(|_| KeyBackupError::Key)
    }

    /// The key for the backup's `auth_data`.
    pub fn to_base64(self) -> String {
        self.0.to_base64()
    }

    /// Encrypts a room key for the backup. Room and session stand outside, as the entry's place.
    ///
    /// # Errors
    /// [`KeyBackupError::Key`] for a public key that no secret can be shared with.
    pub fn encrypt(&self, key: &ExportedKey) -> Result<SessionData, KeyBackupError> {
        let mut inside = key.clone();
        inside.room_id.clear();
        inside.session_id.clear();
        let text = Zeroizing::new(serde_json::to_vec(&inside).map_err(|_| KeyBackupError::NotAKey)?);
        let message = PkEncryption::from_key(self.0).encrypt(&text).map_err(|_| KeyBackupError::Key)?;
        Ok(SessionData {
            ciphertext: vodozemac::base64_encode(&message.ciphertext),
            mac: vodozemac::base64_encode(&message.mac),
            ephemeral: message.ephemeral_key.to_base64(),
        })
    }
}

/// The secret half, which reads: the secret `m.megolm_backup.v1`.
pub struct BackupKey(PkDecryption);

impl BackupKey {
    /// Draws a key.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut bytes = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut *bytes);
        Self::from_bytes(&bytes)
    }

    /// Reads a key as the user wrote it down.
    ///
    /// # Errors
    /// [`RecoveryKeyError`]; see there.
    pub fn from_recovery_key(text: &str) -> Result<Self, RecoveryKeyError> {
        recovery_key::read(text).map(|bytes| Self::from_bytes(&bytes))
    }

    /// Reads the secret as secret storage and other devices have it.
    ///
    /// # Errors
    /// [`KeyBackupError::Key`].
    pub fn from_base64(text: &str) -> Result<Self, KeyBackupError> {
        let bytes = Zeroizing::new(vodozemac::base64_decode(text).map_err(|_| KeyBackupError::Key)?);
        let bytes: &[u8; 32] = bytes.as_slice().try_into().map_err(|_| KeyBackupError::Key)?;
        Ok(Self::from_bytes(bytes))
    }

    /// The secret for secret storage.
    pub fn to_base64(&self) -> Zeroizing<String> {
        Zeroizing::new(vodozemac::base64_encode(Zeroizing::new(*self.0.secret_key().to_bytes())))
    }

    /// The key for the user to write down.
    pub fn to_recovery_key(&self) -> Zeroizing<String> {
        recovery_key::write(&Zeroizing::new(*self.0.secret_key().to_bytes()))
    }

    /// The half that writes. A backup whose `auth_data` has another one is not this key's.
    pub fn public_key(&self) -> BackupPublicKey {
        BackupPublicKey(self.0.public_key())
    }

    /// Decrypts the entry of a session in a room. The key that comes out makes that session.
    ///
    /// # Errors
    /// [`KeyBackupError`]; see there.
    pub fn decrypt(&self, room_id: &str, session_id: &str, data: &SessionData) -> Result<ExportedKey, KeyBackupError> {
        let message =
            Message::from_base64(&data.ciphertext, &data.mac, &data.ephemeral).map_err(|_| KeyBackupError::Decrypt)?;
        let text = Zeroizing::new(self.0.decrypt(&message).map_err(|_| KeyBackupError::Decrypt)?);
        let mut key: ExportedKey = serde_json::from_slice(&text).map_err(|_| KeyBackupError::NotAKey)?;
        room_id.clone_into(&mut key.room_id);
        session_id.clone_into(&mut key.session_id);
        key.session()?;
        Ok(key)
    }

    fn from_bytes(bytes: &[u8; 32]) -> Self {
        Self(PkDecryption::from_key(Curve25519SecretKey::from_slice(bytes)))
    }
}

impl fmt::Debug for BackupKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackupKey").field("public_key", &self.public_key().to_base64()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::{chance::Chance, exported_key::sample};

    fn key(seed: u64) -> BackupKey {
        BackupKey::generate(&mut Chance::new(seed))
    }

    #[test]
    fn room_keys_come_back_at_their_place() {
        let backup = key(1);
        let public = BackupPublicKey::from_base64(&backup.public_key().to_base64()).unwrap();
        for room_key in sample(3) {
            let data = public.encrypt(&room_key).unwrap();
            let again = backup.decrypt(&room_key.room_id, &room_key.session_id, &data).unwrap();
            assert_eq!(serde_json::to_value(&again).unwrap(), serde_json::to_value(&room_key).unwrap());
        }
    }

    #[test]
    fn an_entry_in_anothers_place_or_of_another_backup_is_refused() {
        let [one, two] = <[_; 2]>::try_from(sample(2)).unwrap();
        let data = key(1).public_key().encrypt(&one).unwrap();
        let wrong = key(1).decrypt(&one.room_id, &two.session_id, &data).unwrap_err();
        assert_eq!(wrong, KeyBackupError::RoomKey(ExportedKeyError::OtherSession));
        assert_eq!(key(2).decrypt(&one.room_id, &one.session_id, &data).unwrap_err(), KeyBackupError::Decrypt);
        let damaged = SessionData { ciphertext: "?".to_owned(), ..data };
        assert_eq!(key(1).decrypt(&one.room_id, &one.session_id, &damaged).unwrap_err(), KeyBackupError::Decrypt);
    }

    /// The MAC covers nothing, so a server can write entries that decrypt: they are judged by what they hold.
    #[test]
    fn what_a_server_wrote_itself_is_judged_by_what_it_holds() {
        let backup = key(1);
        for text in ["", "[]", "{\"session_key\":\"x\",\"sender_key\":\"y\"}", "not json"] {
            let message = PkEncryption::from_key(backup.public_key().0).encrypt(text.as_bytes()).unwrap();
            let data = SessionData {
                ciphertext: vodozemac::base64_encode(&message.ciphertext),
                mac: vodozemac::base64_encode(&message.mac),
                ephemeral: message.ephemeral_key.to_base64(),
            };
            let refused = backup.decrypt("!room:example.org", "session", &data).unwrap_err();
            assert!(matches!(refused, KeyBackupError::NotAKey | KeyBackupError::RoomKey(_)), "{text}: {refused}");
        }
    }

    #[test]
    fn a_key_goes_through_secret_storage_and_paper() {
        let backup = key(1);
        let public = backup.public_key();
        assert_eq!(BackupKey::from_base64(&backup.to_base64()).unwrap().public_key(), public);
        assert_eq!(BackupKey::from_recovery_key(&backup.to_recovery_key()).unwrap().public_key(), public);
        assert_eq!(BackupKey::from_base64("AAAA").unwrap_err(), KeyBackupError::Key);
        assert!(BackupPublicKey::from_base64("AAAA").is_err());
        assert!(!format!("{backup:?}").contains(backup.to_base64().as_str()));
    }
}
