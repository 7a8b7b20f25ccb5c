//! Accounts made by deployment tools, which prove that they know `registration.shared_secret`.
//!
//! The form is Synapse's: a nonce, and an HMAC-SHA1 over nonce, name, password and role, with NULs between.

use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

use super::{LogIn, LoggedIn, NewAccount, Password, RegisterError, Users};
use crate::{clock::now_ms, random, storage};

/// The name under which a nonce is kept among the sessions.
const NONCE: &str = "registration nonce";
const LIFETIME_MS: i64 = 60_000;

/// A request to make an account.
#[derive(Debug)]
pub struct SharedSecretRequest {
    pub nonce: String,
    pub username: String,
    pub password: Password,
    pub admin: bool,
    pub user_type: Option<String>,
    /// Hexadecimal.
    pub mac: String,
}

/// Why none was made.
#[derive(Debug, thiserror::Error)]
pub enum SharedSecretError {
    /// `registration.shared_secret` is not set.
    #[error("registration by shared secret is not enabled on this server")]
    Off,
    #[error("the nonce is unknown, used or older than a minute")]
    Nonce,
    #[error("the HMAC is wrong")]
    Mac,
    #[error(transparent)]
    Register(#[from] RegisterError),
    #[error(transparent)]
    Storage(#[from] storage::Error),
}

impl Users {
    /// A nonce that is good for one request within a minute, on any node.
    ///
    /// # Errors
    /// See [`SharedSecretError`].
    pub async fn registration_nonce(&self) -> Result<String, SharedSecretError> {
        if self.0.registration.shared_secret.is_none() {
            return Err(SharedSecretError::Off);
        }
        let nonce = random::secret();
        storage::uia::insert(&self.0.pool, &nonce, NONCE, None, &[], now_ms()).await?;
        Ok(nonce)
    }

    /// Makes an account and logs a device in.
    ///
    /// # Errors
    /// See [`SharedSecretError`].
    pub async fn register_by_shared_secret(&self, ask: SharedSecretRequest) -> Result<LoggedIn, SharedSecretError> {
        let secret = self.0.registration.shared_secret.as_ref().ok_or(SharedSecretError::Off)?;
        let session = storage::uia::find(&self.0.pool, &ask.nonce).await?;
        let is_good = session.is_some_and(|s| s.operation == NONCE && now_ms() - s.created_ts < LIFETIME_MS);
        if !is_good || !storage::uia::delete(&self.0.pool, &ask.nonce).await? {
            return Err(SharedSecretError::Nonce);
        }
        if !is_signed(secret.expose().as_bytes(), &ask) {
            return Err(SharedSecretError::Mac);
        }
        let name = self.check_name(&ask.username).await?;
        let new = NewAccount {
            name: Some(name),
            password: Some(ask.password),
            admin: ask.admin,
            registration_token: None,
            session: None,
        };
        Ok(self.register(new, LogIn::default()).await?)
    }
}

fn is_signed(secret: &[u8], ask: &SharedSecretRequest) -> bool {
    let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(secret) else { return false };
    let role: &[u8] = if ask.admin { b"admin" } else { b"notadmin" };
    let parts = [ask.nonce.as_bytes(), ask.username.as_bytes(), ask.password.as_bytes(), role];
    for (at, part) in parts.into_iter().chain(ask.user_type.as_deref().map(str::as_bytes)).enumerate() {
        if at > 0 {
            mac.update(b"\0");
        }
        mac.update(part);
    }
    from_hex(&ask.mac).is_some_and(|shown| mac.verify_slice(&shown).is_ok())
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> =
        text.chars().map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect::<Option<_>>()?;
    let (pairs, rest) = digits.as_chunks::<2>();
    rest.is_empty().then(|| pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The MAC was made with `openssl dgst -sha1 -hmac shared`.
    #[test]
    fn the_mac_covers_every_part() {
        let ask = |username: &str, admin| SharedSecretRequest {
            nonce: "nonce".to_owned(),
            username: username.to_owned(),
            password: Password::new("password".to_owned()),
            admin,
            user_type: None,
            mac: MAC.to_owned(),
        };
        assert!(is_signed(b"shared", &ask("name", false)));
        assert!(!is_signed(b"shared", &ask("name", true)));
        assert!(!is_signed(b"shared", &ask("eman", false)));
        assert!(!is_signed(b"other", &ask("name", false)));
    }

    const MAC: &str = "f491f68733d85d12f9d0ef09c9b1d2bee81fea06";

    #[test]
    fn hexadecimal_is_read_or_refused() {
        assert_eq!(from_hex("00fF"), Some(vec![0, 255]));
        for text in ["0", "0g", "é0"] {
            assert_eq!(from_hex(text), None, "{text}");
        }
    }
}
