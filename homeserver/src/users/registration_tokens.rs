//! Registration tokens: who has one may make an account.

use super::{Users, secret::random_letters};
use crate::{
    clock::now_ms,
    storage::{self, registration_token::RegistrationToken},
};

/// Without look-alikes: somebody may read it out.
const LETTERS: &[u8] = b"abcdefghjkmnpqrstuvwxyz23456789";

/// Why a registration token was not added.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The specification's grammar.
    #[error("a registration token has 1 to 64 characters of A-Z, a-z, 0-9 and . _ ~ -")]
    Malformed,
    /// There is one like it.
    #[error("there is such a registration token already")]
    Exists,
    /// The database.
    #[error(transparent)]
    Storage(#[from] storage::Error),
}

pub(super) fn is_well_formed(token: &str) -> bool {
    (1..=64).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._~-".contains(&byte))
}

impl Users {
    /// Whether a registration token would be taken now.
    ///
    /// # Errors
    /// The database's own.
    pub async fn is_registration_token_valid(&self, token: &str) -> storage::Result<bool> {
        if !is_well_formed(token) {
            return Ok(false);
        }
        let found = storage::registration_token::find(&self.0.pool, token).await?;
        Ok(found.is_some_and(|found| is_good(&found, now_ms())))
    }

    /// All registration tokens, spent ones included.
    ///
    /// # Errors
    /// The database's own.
    pub async fn registration_tokens(&self) -> storage::Result<Vec<RegistrationToken>> {
        storage::registration_token::list(&self.0.pool).await
    }

    /// Adds a registration token (a random one where none is named) and returns it.
    ///
    /// # Errors
    /// See [`TokenError`].
    pub async fn add_registration_token(
        &self,
        token: Option<&str>,
        uses_allowed: Option<i32>,
        expires_ts: Option<i64>,
    ) -> Result<String, TokenError> {
        let token = token.map_or_else(|| random_letters(16, LETTERS), str::to_owned);
        if !is_well_formed(&token) {
            return Err(TokenError::Malformed);
        }
        let added =
            storage::registration_token::insert(&self.0.pool, &token, uses_allowed, expires_ts, now_ms()).await?;
        if added { Ok(token) } else { Err(TokenError::Exists) }
    }

    /// Revokes a registration token. `false`: there is none like it.
    ///
    /// # Errors
    /// The database's own.
    pub async fn revoke_registration_token(&self, token: &str) -> storage::Result<bool> {
        storage::registration_token::delete(&self.0.pool, token).await
    }

    /// The token that quickstart prints: made once, the same after each restart.
    ///
    /// # Errors
    /// The database's own.
    pub async fn standing_registration_token(&self) -> storage::Result<String> {
        let fresh = random_letters(16, LETTERS);
        storage::registration_token::standing(&self.0.pool, &fresh, now_ms()).await
    }
}

fn is_good(token: &RegistrationToken, now: i64) -> bool {
    token.uses_allowed.is_none_or(|allowed| token.completed < allowed) && token.expires_ts.is_none_or(|ts| ts > now)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_until_it_is_used_up_or_expires() {
        let token = |uses_allowed, completed, expires_ts| RegistrationToken {
            token: "t".to_owned(),
            uses_allowed,
            completed,
            expires_ts,
            created_ts: 0,
            standing: false,
        };
        assert!(is_good(&token(None, 9, None), 5));
        assert!(is_good(&token(Some(2), 1, Some(6)), 5));
        assert!(!is_good(&token(Some(2), 2, None), 5));
        assert!(!is_good(&token(None, 0, Some(5)), 5));
    }

    #[test]
    fn tokens_keep_to_the_grammar() {
        assert!(is_well_formed("a-Z_0.~"));
        assert!(!is_well_formed(""));
        assert!(!is_well_formed("a b"));
        assert!(!is_well_formed(&"a".repeat(65)));
    }
}
