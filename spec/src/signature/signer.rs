//! What signs in a server's name.

use std::fmt;

use ed25519_dalek::{Signer as _, SigningKey};

use super::VerifyKey;
use crate::{base64, canonical_json::Object};

/// A server's name and signing key. The key is wiped on drop and never shown.
#[derive(Clone)]
pub struct Signer {
    server_name: Box<str>,
    key_id: Box<str>,
    key: SigningKey,
}

impl Signer {
    /// From the 32-byte seed of the key `key_id` (such as `ed25519:auto`).
    pub fn new(server_name: &str, key_id: &str, seed: &[u8; 32]) -> Self {
        Self { server_name: server_name.into(), key_id: key_id.into(), key: SigningKey::from_bytes(seed) }
    }

    /// The server in whose name this signs.
    pub fn server_name(&self) -> &str {
        &self.server_name
    }

    /// The key's id, with the algorithm: `ed25519:…`.
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// The public half.
    pub fn verify_key(&self) -> VerifyKey {
        VerifyKey::from(self.key.verifying_key())
    }

    /// The signature of `message`, in unpadded base64.
    pub fn sign(&self, message: &[u8]) -> String {
        base64::encode(&self.sign_raw(message))
    }

    /// The 64 bytes of the signature of `message`.
    pub fn sign_raw(&self, message: &[u8]) -> [u8; 64] {
        self.key.sign(message).to_bytes()
    }

    /// Signs `object` and adds the signature under its `signatures`, beside those of others.
    pub fn sign_object(&self, object: &mut Object) {
        let mut text = String::with_capacity(512);
        object.write_without(&["signatures", "unsigned"], &mut text);
        self.add_signature(object, self.sign(text.as_bytes()));
    }

    /// Adds a signature of ours to `object`.
    pub(crate) fn add_signature(&self, object: &mut Object, signature: String) {
        let mut signatures = object.take_object("signatures");
        let mut ours = signatures.take_object(&self.server_name);
        ours.insert(&*self.key_id, signature);
        signatures.insert(&*self.server_name, ours);
        object.insert("signatures", signatures);
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer")
            .field("server_name", &self.server_name)
            .field("key_id", &self.key_id)
            .finish_non_exhaustive()
    }
}
