//! AES-256 in counter mode with a MAC over the ciphertext, as secret storage and key files use it.

use aes::{
    Aes256,
    cipher::{KeyIvInit as _, StreamCipher as _},
};
use ctr::Ctr128BE;
use hmac::{Hmac, KeyInit as _, Mac as _};
use rand_core::CryptoRng;
use sha2::Sha256;
use zeroize::Zeroizing;

/// 32 bytes of either kind of key, wiped when dropped.
pub(super) type Key = Zeroizing<[u8; 32]>;

/// A fresh initialization vector. Its bit 63 is zero, because some implementations of counter mode can't carry beyond it.
pub(super) fn fresh_iv(rng: &mut impl CryptoRng) -> [u8; 16] {
    let mut iv = [0; 16];
    rng.fill_bytes(&mut iv);
    iv[8] &= 0x7f;
    iv
}

/// Encrypts and decrypts in place: in counter mode both are the same.
pub(super) fn apply(key: &Key, iv: &[u8; 16], data: &mut [u8]) {
    Ctr128BE::<Aes256>::new((&**key).into(), iv.into()).apply_keystream(data);
}

/// HMAC-SHA-256.
pub(super) fn mac(key: &Key, data: &[u8]) -> [u8; 32] {
    keyed(key, data).finalize().into_bytes().into()
}

/// Whether `tag` is the MAC of `data`; compared in constant time.
pub(super) fn is_mac(key: &Key, data: &[u8], tag: &[u8]) -> bool {
    keyed(key, data).verify_slice(tag).is_ok()
}

fn keyed(key: &Key, data: &[u8]) -> Hmac<Sha256> {
    // HMAC fills a short key up to a block with zeros.
    let mut block = Zeroizing::new([0; 64]);
    block[..key.len()].copy_from_slice(&**key);
    let mut mac = Hmac::<Sha256>::new((&*block).into());
    mac.update(data);
    mac
}
