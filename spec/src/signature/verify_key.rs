//! The public half of a signing key.

use ed25519_dalek::{Signature, VerifyingKey};

use crate::base64;

/// A public ed25519 key. Made once from its 32 bytes, because unpacking the point costs a good part of a verification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerifyKey(VerifyingKey);

impl VerifyKey {
    /// From 32 bytes; `None` if they are no point of the curve.
    pub fn from_bytes(bytes: &[u8; 32]) -> Option<Self> {
        VerifyingKey::from_bytes(bytes).ok().map(Self)
    }

    /// From base64, padded or not.
    pub fn from_base64(text: &str) -> Option<Self> {
        Self::from_bytes(&base64::decode(text)?)
    }

    /// From base64 of either alphabet, as identity servers publish their keys.
    pub fn from_base64_any(text: &str) -> Option<Self> {
        Self::from_base64(text).or_else(|| Self::from_bytes(&base64::decode_url_safe(text)?))
    }

    /// In unpadded base64.
    pub fn to_base64(self) -> String {
        base64::encode(self.0.as_bytes())
    }

    /// Strict verification: one answer for everyone. Keys and signatures of small order are refused, and the equation is
    /// checked without cofactor, so that no two servers can be made to disagree about an event.
    pub fn verify(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        self.0.verify_strict(message, &Signature::from_bytes(signature)).is_ok()
    }

    /// [`Self::verify`] for a signature in base64.
    pub fn verify_base64(&self, message: &[u8], signature: &str) -> bool {
        base64::decode(signature).is_some_and(|signature| self.verify(message, &signature))
    }
}

impl From<VerifyingKey> for VerifyKey {
    fn from(key: VerifyingKey) -> Self {
        Self(key)
    }
}
