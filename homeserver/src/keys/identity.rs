//! Who this server is: its name and the key that it signs with, the same on every node because both stand in the database.
//!
//! With `secrets.key_file` the key's seed is sealed with XChaCha20-Poly1305 under the file's SHA-256; a database that leaks
//! then can't speak in the server's name.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use chacha20poly1305::{
    Key, KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use roost_spec::signature::{Signer, VerifyKey};
use ruma::ServerName;
use sha2::{Digest, Sha256};
use sqlx::PgPool;
use zeroize::Zeroizing;

use crate::{
    clock, random,
    storage::{self, server},
};

/// A key file must hold as much as it protects.
const LEAST_KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;

/// The server's name with its signing keys. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Identity(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    signer: Signer,
    old: Vec<OldKey>,
}

/// A key that signed once.
#[derive(Clone, Debug)]
pub struct OldKey {
    /// `ed25519:…`
    pub key_id: String,
    /// The public half.
    pub key: VerifyKey,
    /// When it was replaced, in milliseconds since 1970.
    pub retired_ts: u64,
}

/// Why the server can't say who it is.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The database belongs to another name.
    #[error(
        "this database belongs to the server `{stored}`, but `server_name` is `{configured}`: a server's name can't be \
         changed; set it back, or use another database"
    )]
    Renamed {
        /// In the database.
        stored: String,
        /// In the configuration.
        configured: String,
    },
    /// The key file can't be read.
    #[error("can't read `secrets.key_file` {}: {source}", .path.display())]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The key file is no key.
    #[error("`secrets.key_file` {} holds fewer than {LEAST_KEY_BYTES} bytes", .0.display())]
    WeakKeyFile(PathBuf),
    /// The stored key is sealed and no file is named.
    #[error("the signing key in the database is encrypted: set `secrets.key_file` to the file it was encrypted with")]
    Sealed,
    /// The file is not the one.
    #[error("`secrets.key_file` is not the file that the signing key in the database was encrypted with")]
    WrongKeyFile,
    /// The stored key is not 32 bytes, or there is none.
    #[error("the database holds no usable signing key")]
    NoKey,
    /// The database.
    #[error(transparent)]
    Storage(#[from] storage::Error),
}

impl Identity {
    /// Reads the server's identity; the first node of a new database writes it.
    ///
    /// A key that was stored before `secrets.key_file` was set is sealed now.
    ///
    /// # Errors
    /// See [`IdentityError`]; each says what to do.
    pub async fn load(pool: &PgPool, name: &ServerName, key_file: Option<&Path>) -> Result<Self, IdentityError> {
        let seal = key_file.map(Seal::read).transpose()?;
        let stored = server::name(pool, name.as_str(), clock::now_ms()).await?;
        if stored != name.as_str() {
            return Err(IdentityError::Renamed { stored, configured: name.to_string() });
        }
        let mut keys = server::signing_keys(pool).await?;
        if keys.is_empty() {
            let key_id = format!("ed25519:{}", random::name(6));
            let seed = Zeroizing::new(random::bytes::<32>());
            let kept = seal.as_ref().map_or_else(|| Ok(seed.to_vec()), |seal| seal.close(&key_id, &*seed))?;
            server::insert_first_key(pool, &key_id, &kept, seal.is_some(), clock::now_ms()).await?;
            // Another node may have been first.
            keys = server::signing_keys(pool).await?;
        }

        let (mut signer, mut old) = (None, Vec::new());
        for key in keys {
            let seed = open(&key, seal.as_ref())?;
            if let (Some(seal), false) = (&seal, key.sealed) {
                server::seal_key(pool, &key.key_id, &seal.close(&key.key_id, &*seed)?).await?;
            }
            let this = Signer::new(name.as_str(), &key.key_id, &seed);
            match key.retired_ts {
                None if signer.is_none() => signer = Some(this),
                retired_ts => old.push(OldKey {
                    key: this.verify_key(),
                    retired_ts: retired_ts.and_then(|ts| u64::try_from(ts).ok()).unwrap_or_default(),
                    key_id: key.key_id,
                }),
            }
        }
        Ok(Self(Arc::new(Inner { signer: signer.ok_or(IdentityError::NoKey)?, old })))
    }

    /// What signs in the server's name.
    pub fn signer(&self) -> &Signer {
        &self.0.signer
    }

    /// Keys that signed once.
    pub fn old_keys(&self) -> &[OldKey] {
        &self.0.old
    }
}

fn open(key: &server::SigningKey, seal: Option<&Seal>) -> Result<Zeroizing<[u8; 32]>, IdentityError> {
    let seed = match (key.sealed, seal) {
        (false, _) => Zeroizing::new(key.seed.clone()),
        (true, None) => return Err(IdentityError::Sealed),
        (true, Some(seal)) => seal.open(&key.key_id, &key.seed).ok_or(IdentityError::WrongKeyFile)?,
    };
    <[u8; 32]>::try_from(seed.as_slice()).map(Zeroizing::new).map_err(|_| IdentityError::NoKey)
}

/// What a key file makes of a seed.
struct Seal(XChaCha20Poly1305);

impl Seal {
    fn read(path: &Path) -> Result<Self, IdentityError> {
        let bytes = fs::read(path).map_err(|source| IdentityError::KeyFile { path: path.to_owned(), source })?;
        let bytes = Zeroizing::new(bytes);
        if bytes.len() < LEAST_KEY_BYTES {
            return Err(IdentityError::WeakKeyFile(path.to_owned()));
        }
        Ok(Self::new(&bytes))
    }

    fn new(secret: &[u8]) -> Self {
        let digest = Sha256::new().chain_update(b"roost signing key").chain_update(secret).finalize();
        Self(XChaCha20Poly1305::new(&Key::from(<[u8; 32]>::from(digest))))
    }

    /// A random nonce, then the ciphertext, bound to the key's id.
    fn close(&self, key_id: &str, seed: &[u8]) -> Result<Vec<u8>, IdentityError> {
        let nonce = random::bytes::<NONCE_BYTES>();
        let payload = Payload { msg: seed, aad: key_id.as_bytes() };
        let sealed = self.0.encrypt(&XNonce::from(nonce), payload).map_err(|_| IdentityError::NoKey)?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    fn open(&self, key_id: &str, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_BYTES>()?;
        let payload = Payload { msg: sealed, aad: key_id.as_bytes() };
        self.0.decrypt(&XNonce::from(*nonce), payload).ok().map(Zeroizing::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_opens_only_with_its_file_and_under_its_id() {
        let seal = Seal::new(b"a long random file");
        let kept = seal.close("ed25519:a", &[7; 32]).unwrap();
        assert!(!kept.windows(8).any(|window| window == [7; 8]));
        assert_eq!(seal.open("ed25519:a", &kept).unwrap().as_slice(), [7; 32]);
        assert!(seal.open("ed25519:b", &kept).is_none());
        assert!(Seal::new(b"another file").open("ed25519:a", &kept).is_none());
        assert!(seal.open("ed25519:a", &kept[..10]).is_none());
    }
}
