//! Signatures: ed25519 over canonical JSON.
//!
//! A signature is valid exactly if single, strict verification ([`VerifyKey::verify`]) says so, wherever it is checked.
//! Source: appendices, "Signing JSON" and "Checking for a signature"; server-server API, "Retrieving server keys".
//!
//! **Invariant:** nothing here fetches a key, and nothing here draws randomness: a seed is given.

mod batch;
mod check;
mod key_ring;
mod server_keys;
mod signer;
mod verify_key;

pub use batch::{Claim, verify_all};
pub(crate) use check::verify_text;
pub use check::{SignatureError, verify_object};
pub use key_ring::{KeyRing, PublishedKey};
pub use server_keys::{ServerKeys, ServerKeysError};
pub use signer::Signer;
pub use verify_key::VerifyKey;

/// The one algorithm of the protocol, as key ids begin: `ed25519:…`.
pub const ALGORITHM: &str = "ed25519";
