//! Refresh tokens: each is good until one of its successors is used.

use super::{Token, Users, session::Drawn};
use crate::{
    clock::now_ms,
    log,
    storage::{
        self,
        token::Issue,
        user_change::{Hex, UserChange},
    },
};

/// Why no new tokens were issued.
#[derive(Debug, thiserror::Error)]
pub enum RefreshError {
    /// Never issued, used up, or its device is logged out.
    #[error("the refresh token is unknown or was used before")]
    Unknown,
    /// The account is locked.
    #[error("the account is locked")]
    Locked,
    /// The database.
    #[error(transparent)]
    Storage(#[from] storage::Error),
    /// The log.
    #[error(transparent)]
    Log(#[from] log::Error),
}

/// The successors.
#[derive(Debug)]
pub struct Refreshed {
    pub access_token: Token,
    pub refresh_token: Option<Token>,
    pub expires_in_ms: Option<i64>,
}

impl Users {
    /// Issues a new access token and a new refresh token.
    ///
    /// # Errors
    /// See [`RefreshError`].
    pub async fn refresh(&self, token: &Token) -> Result<Refreshed, RefreshError> {
        let pool = &self.0.pool;
        let old = token.hash();
        let owner = storage::token::find_refresh(pool, &old).await?.ok_or(RefreshError::Unknown)?;
        if owner.locked {
            return Err(RefreshError::Locked);
        }
        if let Some(old) = owner.replaces {
            self.change(owner.usr, UserChange::Refreshed { old: Hex::from(old) }).await?;
        }
        let now = now_ms();
        let drawn = Drawn::new(true, now);
        let (access, refresh) = (drawn.access.hash(), drawn.refresh.as_ref().map(Token::hash));
        let issue = Issue { access: &access, expires_ts: drawn.expires_ts, refresh: refresh.as_ref() };
        if !storage::token::refresh(pool, &old, issue, now).await? {
            return Err(RefreshError::Unknown);
        }
        let expires_in_ms = drawn.expires_in_ms();
        Ok(Refreshed { access_token: drawn.access, refresh_token: drawn.refresh, expires_in_ms })
    }
}
