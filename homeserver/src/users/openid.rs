//! OpenID tokens: with one, a third party learns from this server who somebody is, and nothing else.

use ruma::OwnedUserId;

use super::{Requester, Token, Users};
use crate::{clock::now_ms, storage};

/// How long one lasts.
const LIFETIME_MS: i64 = 60 * 60 * 1000;

/// A token and for how long it is good.
#[derive(Debug)]
pub struct OpenId {
    pub token: Token,
    pub expires_in_s: i64,
}

impl Users {
    /// Draws a token for the requester.
    ///
    /// # Errors
    /// The database's own.
    pub async fn openid_token(&self, requester: &Requester) -> storage::Result<OpenId> {
        let token = Token::draw("roost_oid_");
        let expires_ts = now_ms() + LIFETIME_MS;
        storage::login_token::insert_openid(&self.0.pool, &token.hash(), requester.user, expires_ts).await?;
        Ok(OpenId { token, expires_in_s: LIFETIME_MS / 1000 })
    }

    /// Whose token it is.
    ///
    /// # Errors
    /// The database's own.
    pub async fn openid_user(&self, token: &Token) -> storage::Result<Option<OwnedUserId>> {
        let Some(user) = storage::login_token::find_openid(&self.0.pool, &token.hash(), now_ms()).await? else {
            return Ok(None);
        };
        let account = storage::account::find(&self.0.pool, user).await?.filter(|account| !account.deactivated);
        account.map(|account| self.user_id(&account.localpart)).transpose()
    }
}
