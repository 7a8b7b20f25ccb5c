//! Encryption that needs no session: each function has all it works with in its arguments.
//!
//! - [`attachment`]: files, as streams
//! - [`secret_storage`]: secrets in account data, under a key that [`recovery_key`] writes for people
//! - [`key_file`]: room keys in a file under a passphrase; [`exported_key`]: what stands in it, and in backups
//! - [`key_backup`]: room keys on the server
//!
//! **Invariant:** a secret is wiped when it is dropped and is never shown by `Debug`; nothing decrypted is handed out before
//! what authenticates it has been checked.

mod ctr;
mod derive;

pub mod attachment;
pub mod exported_key;
pub mod key_backup;
pub mod key_file;
pub mod recovery_key;
pub mod secret_storage;

#[cfg(test)]
mod chance;
