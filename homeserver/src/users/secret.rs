//! Passwords and tokens as types of their own: hidden in `Debug`, wiped on drop.

use std::fmt;

use serde::Deserialize;
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::{random, storage::token::Hash};

/// A password as its owner typed it.
#[derive(Clone, Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(transparent)]
pub struct Password(String);

/// A token that was just drawn, or that a client showed.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Token(String);

impl Password {
    /// Takes the text over.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl Token {
    /// What a client showed.
    pub fn shown(text: String) -> Self {
        Self(text)
    }

    /// Draws 32 random bytes, written with `prefix` so that scanners for leaked secrets can tell what it is.
    pub(super) fn draw(prefix: &str) -> Self {
        Self(format!("{prefix}{}", random::secret()))
    }

    /// The text itself, for the one answer that hands it out.
    pub fn expose(&self) -> &str {
        &self.0
    }

    pub(super) fn hash(&self) -> Hash {
        hash(&self.0)
    }
}

/// SHA-256 of a token: it is random, so that nothing slower is needed.
pub(super) fn hash(token: &str) -> Hash {
    Sha256::digest(token.as_bytes()).into()
}

/// Random letters from an alphabet without look-alikes.
pub(super) fn random_letters(count: usize, alphabet: &[u8]) -> String {
    // The bias of the remainder costs a fraction of a bit.
    let draws = std::iter::repeat_with(random::bytes::<16>).flatten().take(count);
    draws.map(|byte| char::from(alphabet[usize::from(byte) % alphabet.len()])).collect()
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_differ_and_never_show() {
        let (one, two) = (Token::draw("roost_at_"), Token::draw("roost_at_"));
        assert_ne!(one.expose(), two.expose());
        assert_eq!(one.expose().len(), "roost_at_".len() + 43);
        assert_eq!(format!("{one:?}"), "Token(…)");
        assert_eq!(format!("{:?}", Password::new("hunter2".to_owned())), "Password(…)");
    }
}
