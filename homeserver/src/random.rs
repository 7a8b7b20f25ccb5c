//! Randomness, from the operating system's generator.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

/// Random bytes.
///
/// # Panics
/// If the operating system has no randomness to give: then nothing that depends on secrets may go on.
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    if let Err(error) = getrandom::fill(&mut bytes) {
        panic!("the operating system gives no random bytes: {error}");
    }
    bytes
}

/// A secret of 256 bits in URL-safe base64.
pub fn secret() -> String {
    URL_SAFE_NO_PAD.encode(bytes::<32>())
}

/// `len` random letters: 5.7 bits each.
pub fn name(len: usize) -> String {
    const LETTERS: &[u8; 52] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut name = String::with_capacity(len);
    while name.len() < len {
        // Bytes beyond the last whole multiple of 52 are passed over, so that all letters are equally likely.
        let fresh = bytes::<32>().into_iter().filter(|b| *b < 208).map(|b| char::from(LETTERS[usize::from(b % 52)]));
        name.extend(fresh.take(len - name.len()));
    }
    name
}
