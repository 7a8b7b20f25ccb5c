//! Keys made of other keys and of passphrases.

use hkdf::Hkdf;
use pbkdf2::pbkdf2_hmac;
use sha2::{Sha256, Sha512};
use zeroize::Zeroizing;

use super::ctr::Key;

/// An encryption key and a MAC key.
pub(super) struct Pair {
    pub cipher: Key,
    pub mac: Key,
}

impl From<&[u8; 64]> for Pair {
    fn from(bytes: &[u8; 64]) -> Self {
        let (mut cipher, mut mac) = (Key::default(), Key::default());
        cipher.copy_from_slice(&bytes[..32]);
        mac.copy_from_slice(&bytes[32..]);
        Self { cipher, mac }
    }
}

/// HKDF-SHA-256 with a salt of 32 zero bytes.
pub(super) fn of_key(key: &Key, info: &str) -> Pair {
    let mut bytes = Zeroizing::new([0; 64]);
    // It fails only for more than 255 blocks.
    let expanded = Hkdf::<Sha256>::new(Some(&[0; 32]), &**key).expand(info.as_bytes(), &mut *bytes);
    debug_assert!(expanded.is_ok());
    Pair::from(&*bytes)
}

/// PBKDF2 with HMAC-SHA-512. Takes about a microsecond of one core a round.
pub(super) fn of_passphrase<const N: usize>(passphrase: &str, salt: &[u8], rounds: u32) -> Zeroizing<[u8; N]> {
    let mut bytes = Zeroizing::new([0; N]);
    pbkdf2_hmac::<Sha512>(passphrase.as_bytes(), salt, rounds, &mut *bytes);
    bytes
}
