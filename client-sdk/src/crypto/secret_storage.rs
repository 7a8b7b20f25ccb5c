//! Secrets in the user's account data, encrypted under a key that only the user has.
//!
//! Source: client-server API, "Secret storage", algorithm `m.secret_storage.v1.aes-hmac-sha2`. The key is written down
//! ([`recovery_key`]) or made of a passphrase.
//!
//! ```
//! use roost_sdk::crypto::secret_storage::SecretStorageKey;
//! # fn keep(rng: &mut impl rand_core::CryptoRng) -> Result<(), Box<dyn std::error::Error>> {
//! let key = SecretStorageKey::generate(rng);
//! let description = key.describe(rng);
//! let kept = key.encrypt("m.megolm_backup.v1", "a secret", rng);
//!
//! let again = SecretStorageKey::from_recovery_key(&key.to_recovery_key())?;
//! again.check(&description)?;
//! assert_eq!(*again.decrypt("m.megolm_backup.v1", &kept)?, "a secret");
//! # Ok(())
//! # }
//! ```

use std::fmt;

use rand_core::CryptoRng;
use ruma_common::{KeyDerivationAlgorithm, serde::Base64};
use ruma_events::secret_storage::{
    key::{PassPhrase, SecretStorageV1AesHmacSha2Properties},
    secret::AesHmacSha2EncryptedData,
};
use zeroize::Zeroizing;

use super::{
    ctr::{self, Key},
    derive,
    recovery_key::{self, RecoveryKeyError},
};

/// Why a secret can't be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// The key is another one, or what is stored was altered.
    #[error("the key does not fit")]
    Mac,
    /// An initialization vector of another length than 16 bytes.
    #[error("the initialization vector has {0} bytes instead of 16")]
    Iv(usize),
    /// What was decrypted is no text.
    #[error("the secret is no text")]
    NotText,
    /// The description says neither how to check a key, nor that any will do.
    #[error("the description has an initialization vector without a MAC, or the reverse")]
    Description,
}

/// Why no key can be made of a passphrase.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PassphraseError {
    /// Another way to make a key than `m.pbkdf2`.
    #[error("the key is made by an unknown algorithm: {0}")]
    Algorithm(String),
    /// More rounds than a device can do in a minute or so, or none at all.
    #[error("a key of {0} rounds is refused")]
    Rounds(u64),
    /// Another length than 256 bits, which the algorithm needs.
    #[error("a key of {0} bits is refused")]
    Bits(u64),
}

/// Who describes the key chooses the rounds: a server could let a client count for hours.
const MOST_ROUNDS: u32 = 10_000_000;
/// How many zero bytes a description encrypts.
const ZEROES: usize = 32;

/// The key of a user's secret storage.
pub struct SecretStorageKey(Key);

impl SecretStorageKey {
    /// Draws a key.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut key = Key::default();
        rng.fill_bytes(&mut *key);
        Self(key)
    }

    /// Reads a key as the user wrote it down. Whether it is the right one, [`Self::check`] says.
    ///
    /// # Errors
    /// [`RecoveryKeyError`]; see there.
    pub fn from_recovery_key(text: &str) -> Result<Self, RecoveryKeyError> {
        recovery_key::read(text).map(Self)
    }

    /// The key for the user to write down.
    pub fn to_recovery_key(&self) -> Zeroizing<String> {
        recovery_key::write(&self.0)
    }

    /// Makes the key of a passphrase, as the key's description says. Takes a second or so of one core.
    ///
    /// # Errors
    /// [`PassphraseError`]; see there.
    pub fn from_passphrase(passphrase: &str, how: &PassPhrase) -> Result<Self, PassphraseError> {
        if how.algorithm != KeyDerivationAlgorithm::Pbkfd2 {
            return Err(PassphraseError::Algorithm(how.algorithm.to_string()));
        }
        let (rounds, bits) = (u64::from(how.iterations), u64::from(how.bits));
        if bits != 256 {
            return Err(PassphraseError::Bits(bits));
        }
        let rounds = u32::try_from(rounds)
            .ok()
            .filter(|rounds| (1..=MOST_ROUNDS).contains(rounds))
            .ok_or(PassphraseError::Rounds(rounds))?;
        Ok(Self(derive::of_passphrase(passphrase, how.salt.as_bytes(), rounds)))
    }

    /// What the description of the key (`m.secret_storage.key.ID`) says, so that the key can be recognised.
    pub fn describe(&self, rng: &mut impl CryptoRng) -> SecretStorageV1AesHmacSha2Properties {
        let AesHmacSha2EncryptedData { iv, mac, .. } = self.seal("", &mut [0; ZEROES], rng);
        SecretStorageV1AesHmacSha2Properties::new(Some(iv), Some(mac))
    }

    /// Whether the description is of this key. One without vector and MAC is of any.
    ///
    /// # Errors
    /// [`SecretError::Mac`] for another key; [`SecretError::Iv`] and [`SecretError::Description`] for a description that says
    /// nothing.
    pub fn check(&self, description: &SecretStorageV1AesHmacSha2Properties) -> Result<(), SecretError> {
        match (&description.iv, &description.mac) {
            (None, None) => Ok(()),
            (Some(iv), Some(mac)) => {
                let keys = derive::of_key(&self.0, "");
                let mut zeroes = [0; ZEROES];
                ctr::apply(&keys.cipher, &iv_of(iv)?, &mut zeroes);
                if ctr::is_mac(&keys.mac, &zeroes, mac.as_bytes()) { Ok(()) } else { Err(SecretError::Mac) }
            }
            _ => Err(SecretError::Description),
        }
    }

    /// Encrypts the secret `name`.
    pub fn encrypt(&self, name: &str, secret: &str, rng: &mut impl CryptoRng) -> AesHmacSha2EncryptedData {
        self.seal(name, &mut secret.as_bytes().to_vec(), rng)
    }

    /// Decrypts the secret `name`.
    ///
    /// # Errors
    /// [`SecretError`]; see there.
    pub fn decrypt(&self, name: &str, kept: &AesHmacSha2EncryptedData) -> Result<Zeroizing<String>, SecretError> {
        let keys = derive::of_key(&self.0, name);
        if !ctr::is_mac(&keys.mac, kept.ciphertext.as_bytes(), kept.mac.as_bytes()) {
            return Err(SecretError::Mac);
        }
        let mut secret = Zeroizing::new(kept.ciphertext.as_bytes().to_vec());
        ctr::apply(&keys.cipher, &iv_of(&kept.iv)?, &mut secret);
        // The bytes move into the text, which is wiped in their place.
        match String::from_utf8(std::mem::take(&mut *secret)) {
            Ok(secret) => Ok(Zeroizing::new(secret)),
            Err(error) => {
                drop(Zeroizing::new(error.into_bytes()));
                Err(SecretError::NotText)
            }
        }
    }

    /// Encrypts in place.
    fn seal(&self, name: &str, data: &mut [u8], rng: &mut impl CryptoRng) -> AesHmacSha2EncryptedData {
        let keys = derive::of_key(&self.0, name);
        let iv = ctr::fresh_iv(rng);
        ctr::apply(&keys.cipher, &iv, data);
        let mac = ctr::mac(&keys.mac, data);
        AesHmacSha2EncryptedData::new(Base64::new(iv.to_vec()), Base64::new(data.to_vec()), Base64::new(mac.to_vec()))
    }
}

impl fmt::Debug for SecretStorageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretStorageKey").finish_non_exhaustive()
    }
}

fn iv_of(iv: &Base64) -> Result<[u8; 16], SecretError> {
    iv.as_bytes().try_into().map_err(|_| SecretError::Iv(iv.as_bytes().len()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::crypto::chance::Chance;

    fn key(seed: u64) -> SecretStorageKey {
        SecretStorageKey::generate(&mut Chance::new(seed))
    }

    fn passphrase(iterations: u64, bits: u64, algorithm: &str) -> PassPhrase {
        let how = json!({ "algorithm": algorithm, "salt": "salt", "iterations": iterations, "bits": bits });
        serde_json::from_value(how).unwrap()
    }

    #[test]
    fn secrets_come_back_under_their_key_and_name_alone() {
        let (ours, other, mut chance) = (key(1), key(2), Chance::new(9));
        for secret in ["", "a", "a longer secret, with an ü in it", &"x".repeat(10_000)] {
            let kept = ours.encrypt("m.cross_signing.master", secret, &mut chance);
            assert_eq!(*ours.decrypt("m.cross_signing.master", &kept).unwrap(), secret);
            assert_eq!(ours.decrypt("m.cross_signing.self_signing", &kept).unwrap_err(), SecretError::Mac);
            assert_eq!(other.decrypt("m.cross_signing.master", &kept).unwrap_err(), SecretError::Mac);
        }
    }

    #[test]
    fn what_was_altered_is_refused() {
        let (ours, mut chance) = (key(1), Chance::new(9));
        let kept = ours.encrypt("name", "a secret", &mut chance);
        let mut altered = kept.clone();
        altered.ciphertext = Base64::new([kept.ciphertext.as_bytes(), b"x"].concat());
        assert_eq!(ours.decrypt("name", &altered).unwrap_err(), SecretError::Mac);
        let mut altered = kept.clone();
        altered.mac = Base64::new(kept.mac.as_bytes()[..31].to_vec());
        assert_eq!(ours.decrypt("name", &altered).unwrap_err(), SecretError::Mac);
        // The vector has no MAC: what comes out of another one is another text, or none.
        let mut altered = kept;
        altered.iv = Base64::new(vec![1; 12]);
        assert_eq!(ours.decrypt("name", &altered).unwrap_err(), SecretError::Iv(12));
        altered.iv = Base64::new(vec![0xff; 16]);
        assert!(ours.decrypt("name", &altered).map_or(true, |text| *text != "a secret"));
    }

    #[test]
    fn a_key_knows_its_description() {
        let (ours, other) = (key(1), key(2));
        let description = ours.describe(&mut Chance::new(3));
        assert_eq!(ours.check(&description), Ok(()));
        assert_eq!(other.check(&description), Err(SecretError::Mac));
        assert_eq!(other.check(&SecretStorageV1AesHmacSha2Properties::new(None, None)), Ok(()));
        let half = SecretStorageV1AesHmacSha2Properties::new(description.iv, None);
        assert_eq!(ours.check(&half), Err(SecretError::Description));
    }

    #[test]
    fn the_vector_of_other_implementations_stays_below_bit_63() {
        let mut chance = Chance::new(4);
        for _ in 0..200 {
            assert_eq!(key(1).encrypt("n", "s", &mut chance).iv.as_bytes()[8] & 0x80, 0);
        }
    }

    /// PBKDF2-HMAC-SHA-512 of "password" and "salt": the first half of the vector for one round and for two.
    #[test]
    fn a_passphrase_makes_the_key_that_others_make_of_it() {
        for (rounds, begins) in [(1, [0x86, 0x7f, 0x70, 0xcf]), (2, [0xe1, 0xd9, 0xc1, 0x6a])] {
            let made = SecretStorageKey::from_passphrase("password", &passphrase(rounds, 256, "m.pbkdf2")).unwrap();
            assert_eq!(made.0[..4], begins);
        }
    }

    #[test]
    fn passphrases_that_cost_too_much_or_mean_something_else_are_refused() {
        let refused = |how: &PassPhrase| SecretStorageKey::from_passphrase("p", how).unwrap_err();
        assert_eq!(refused(&passphrase(0, 256, "m.pbkdf2")), PassphraseError::Rounds(0));
        assert_eq!(refused(&passphrase(1 << 40, 256, "m.pbkdf2")), PassphraseError::Rounds(1 << 40));
        assert_eq!(refused(&passphrase(1000, 512, "m.pbkdf2")), PassphraseError::Bits(512));
        assert_eq!(refused(&passphrase(1000, 256, "m.scrypt")), PassphraseError::Algorithm("m.scrypt".to_owned()));
    }

    #[test]
    fn no_key_is_shown() {
        assert_eq!(format!("{:?}", key(1)), "SecretStorageKey { .. }");
    }
}
