//! Files of encrypted rooms, encrypted and decrypted as streams: memory does not grow with the file.
//!
//! Source: client-server API, "Sending encrypted attachments". A file is decrypted in two passes over its ciphertext: [`Check`]
//! hashes it, and only a file whose hash is right yields the [`Decryptor`] of the second pass.
//!
//! ```
//! use roost_sdk::crypto::attachment::{Check, Encryptor};
//! # fn send_and_receive(rng: &mut impl rand_core::CryptoRng) -> Result<(), Box<dyn std::error::Error>> {
//! let mut chunk = *b"a picture";
//! let mut encryptor = Encryptor::new(rng);
//! encryptor.apply(&mut chunk);
//! let (info, hashes) = encryptor.finish();
//!
//! let mut check = Check::new(&info, &hashes)?;
//! check.update(&chunk);
//! let mut decryptor = check.finish()?;
//! decryptor.apply(&mut chunk);
//! decryptor.finish()?;
//! assert_eq!(&chunk, b"a picture");
//! # Ok(())
//! # }
//! ```

use std::fmt;

use aes::{
    Aes256,
    cipher::{KeyIvInit as _, StreamCipher as _},
};
use ctr::Ctr64BE;
use rand_core::CryptoRng;
use ruma_events::room::{
    EncryptedFileHash, EncryptedFileHashAlgorithm, EncryptedFileHashes, EncryptedFileInfo, V2EncryptedFileInfo,
};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// Why a file can't be decrypted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AttachmentError {
    /// It is encrypted in a version of the protocol that this SDK does not know.
    #[error("the file is encrypted by an unknown protocol: {0}")]
    UnknownVersion(String),
    /// The event names no SHA-256 hash of it, so that nothing says whether it is the right one.
    #[error("the file has no SHA-256 hash")]
    NoHash,
    /// It is another file than the event speaks of: altered, cut off or exchanged.
    #[error("the file is not the one that was sent: its hash is another")]
    Mismatch,
}

type Cipher = Ctr64BE<Aes256>;

/// Encrypts one file, in pieces of any size.
pub struct Encryptor {
    key: Zeroizing<[u8; 32]>,
    iv: [u8; 16],
    cipher: Cipher,
    hash: Sha256,
}

impl Encryptor {
    /// Draws a key for one file.
    pub fn new(rng: &mut impl CryptoRng) -> Self {
        let (mut key, mut iv) = (Zeroizing::new([0; 32]), [0; 16]);
        rng.fill_bytes(&mut *key);
        // The other half counts the blocks.
        rng.fill_bytes(&mut iv[..8]);
        let cipher = Cipher::new((&*key).into(), (&iv).into());
        Self { key, iv, cipher, hash: Sha256::new() }
    }

    /// Encrypts the next piece in place.
    pub fn apply(&mut self, piece: &mut [u8]) {
        self.cipher.apply_keystream(piece);
        self.hash.update(piece);
    }

    /// What the event says of the file, besides where it lies.
    pub fn finish(self) -> (EncryptedFileInfo, EncryptedFileHashes) {
        let info = V2EncryptedFileInfo::encode(*self.key, self.iv);
        (EncryptedFileInfo::V2(info), EncryptedFileHashes::with_sha256(self.hash.finalize().into()))
    }
}

impl fmt::Debug for Encryptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encryptor").finish_non_exhaustive()
    }
}

/// The first pass over a file's ciphertext: is it the one that was sent?
pub struct Check {
    cipher: Cipher,
    hash: Sha256,
    expected: [u8; 32],
}

impl Check {
    /// Begins with what the event says of the file.
    ///
    /// # Errors
    /// [`AttachmentError::UnknownVersion`], [`AttachmentError::NoHash`].
    pub fn new(info: &EncryptedFileInfo, hashes: &EncryptedFileHashes) -> Result<Self, AttachmentError> {
        let EncryptedFileInfo::V2(V2EncryptedFileInfo { k, iv, .. }) = info else {
            return Err(AttachmentError::UnknownVersion(info.version().to_owned()));
        };
        let Some(EncryptedFileHash::Sha256(expected)) = hashes.get(&EncryptedFileHashAlgorithm::Sha256) else {
            return Err(AttachmentError::NoHash);
        };
        let cipher = Cipher::new(k.as_inner().into(), iv.as_inner().into());
        Ok(Self { cipher, hash: Sha256::new(), expected: *expected.as_inner() })
    }

    /// Takes the next piece of ciphertext.
    pub fn update(&mut self, piece: &[u8]) {
        self.hash.update(piece);
    }

    /// Ends the first pass.
    ///
    /// # Errors
    /// [`AttachmentError::Mismatch`].
    pub fn finish(self) -> Result<Decryptor, AttachmentError> {
        is_right(self.hash, &self.expected)?;
        Ok(Decryptor { cipher: self.cipher, hash: Sha256::new(), expected: self.expected })
    }
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Check").finish_non_exhaustive()
    }
}

/// The second pass: decrypts the ciphertext that was checked.
pub struct Decryptor {
    cipher: Cipher,
    hash: Sha256,
    expected: [u8; 32],
}

impl Decryptor {
    /// Decrypts the next piece in place.
    pub fn apply(&mut self, piece: &mut [u8]) {
        self.hash.update(&*piece);
        self.cipher.apply_keystream(piece);
    }

    /// Ends the second pass: what was decrypted is what was checked.
    ///
    /// # Errors
    /// [`AttachmentError::Mismatch`] if the ciphertext changed between the passes, or not all of it was given.
    pub fn finish(self) -> Result<(), AttachmentError> {
        is_right(self.hash, &self.expected)
    }
}

impl fmt::Debug for Decryptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decryptor").finish_non_exhaustive()
    }
}

fn is_right(hash: Sha256, expected: &[u8; 32]) -> Result<(), AttachmentError> {
    // A hash of public bytes: nothing to gain from its timing.
    if hash.finalize().as_slice() == expected { Ok(()) } else { Err(AttachmentError::Mismatch) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::crypto::chance::Chance;

    fn decrypt(
        info: &EncryptedFileInfo,
        hashes: &EncryptedFileHashes,
        file: &[u8],
    ) -> Result<Vec<u8>, AttachmentError> {
        let mut check = Check::new(info, hashes)?;
        file.chunks(7).for_each(|piece| check.update(piece));
        let mut decryptor = check.finish()?;
        let mut plain = file.to_vec();
        plain.chunks_mut(1000).for_each(|piece| decryptor.apply(piece));
        decryptor.finish()?;
        Ok(plain)
    }

    #[test]
    fn a_file_comes_back_whatever_the_pieces_were() {
        for (seed, size) in [0, 1, 15, 16, 17, 4096, 100_003].into_iter().enumerate() {
            let plain: Vec<u8> = (0..size).map(|i| u8::try_from(i % 251).unwrap()).collect();
            let mut encryptor = Encryptor::new(&mut Chance::new(seed as u64));
            let mut file = plain.clone();
            file.chunks_mut(333).for_each(|piece| encryptor.apply(piece));
            let (info, hashes) = encryptor.finish();
            assert!(size < 15 || file != plain);
            assert_eq!(decrypt(&info, &hashes, &file).unwrap(), plain);
        }
    }

    #[test]
    fn no_byte_comes_out_of_an_altered_or_shortened_file() {
        let mut encryptor = Encryptor::new(&mut Chance::new(1));
        let mut file = vec![7; 100];
        encryptor.apply(&mut file);
        let (info, hashes) = encryptor.finish();
        let mut altered = file.clone();
        altered[99] ^= 1;
        for other in [&altered[..], &file[..99], &[]] {
            assert_eq!(decrypt(&info, &hashes, other), Err(AttachmentError::Mismatch));
        }
        // A file that changes between the passes is noticed at the end.
        let mut check = Check::new(&info, &hashes).unwrap();
        check.update(&file);
        let mut decryptor = check.finish().unwrap();
        decryptor.apply(&mut altered);
        assert_eq!(decryptor.finish(), Err(AttachmentError::Mismatch));
    }

    /// NIST SP 800-38A, F.5.5: two blocks of AES-256 in counter mode.
    #[test]
    fn a_known_file_is_read() {
        let bytes = |hex: &str| -> Vec<u8> {
            (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
        };
        let key = bytes("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4").try_into().unwrap();
        let iv = bytes("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff").try_into().unwrap();
        let file = bytes("601ec313775789a5b7a7f504bbf3d228f443e3ca4d62b59aca84e990cacaf5c5");
        let info = EncryptedFileInfo::V2(V2EncryptedFileInfo::encode(key, iv));
        let hashes = EncryptedFileHashes::with_sha256(Sha256::digest(&file).into());
        let plain = bytes("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51");
        assert_eq!(decrypt(&info, &hashes, &file).unwrap(), plain);
    }

    #[test]
    fn what_is_unknown_is_refused() {
        let hashes = EncryptedFileHashes::with_sha256([0; 32]);
        let unknown: EncryptedFileInfo = serde_json::from_value(json!({ "v": "v9", "key": {} })).unwrap();
        assert_eq!(Check::new(&unknown, &hashes).unwrap_err(), AttachmentError::UnknownVersion("v9".to_owned()));
        let (info, _) = Encryptor::new(&mut Chance::new(2)).finish();
        assert_eq!(Check::new(&info, &EncryptedFileHashes::new()).unwrap_err(), AttachmentError::NoHash);
    }

    #[test]
    fn no_key_is_shown() {
        let encryptor = Encryptor::new(&mut Chance::new(3));
        let key = format!("{:?}", &*encryptor.key);
        assert!(!format!("{encryptor:?}").contains(&key[1..20]));
    }
}
