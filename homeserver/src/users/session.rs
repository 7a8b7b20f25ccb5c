//! Logging in, and recognising who is logged in.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Instant,
};

use ruma::{OwnedDeviceId, OwnedUserId, UserId};

use super::{LoginError, Password, Requester, Token, Users, cache::Ticket, names, watch::Watcher};
use crate::{
    clock::now_ms,
    storage::{
        self,
        account::Account,
        token::{Hash, Opened},
        user_change::{Became, Hex, Hidden, Issue, UserChange},
    },
};

/// How long an access token lasts whose client can refresh it.
const REFRESHABLE_MS: i64 = 60 * 60 * 1000;
/// How long a token for `m.login.token` lasts.
const LOGIN_TOKEN_MS: i64 = 2 * 60 * 1000;
/// How many devices a user may have. Who logs in once more loses the one that was not seen for the longest time.
const MOST_DEVICES: i64 = 500;

/// An access token in use, and what is to be known about its account.
#[derive(Debug)]
pub struct Session {
    pub requester: Requester,
    /// Nothing but logging out is allowed.
    pub locked: bool,
    expires_ts: Option<i64>,
    /// When the database said so.
    pub(super) read_at: Instant,
    /// When it was last noted as seen.
    seen_ts: AtomicI64,
}

/// Why a token opens nothing.
#[derive(Debug, thiserror::Error)]
pub enum AuthError {
    /// It was never issued, or its device is logged out.
    #[error("the access token is unknown")]
    Unknown,
    /// It was good once; the client can refresh it, or log in to the same device again.
    #[error("the access token has expired")]
    Expired,
    /// The account is locked.
    #[error("the account is locked")]
    Locked,
    /// The database.
    #[error(transparent)]
    Storage(#[from] storage::Error),
}

/// How a device is to be logged in.
#[derive(Debug, Clone, Default)]
pub struct LogIn {
    /// The client's device ID; a fresh one where it brings none.
    pub device_id: Option<String>,
    /// What a new device is called.
    pub display_name: Option<String>,
    /// Whether the client can refresh tokens.
    pub refresh: bool,
}

/// A device that was logged in.
#[derive(Debug)]
pub struct LoggedIn {
    pub user_id: OwnedUserId,
    pub device_id: OwnedDeviceId,
    pub access_token: Token,
    pub refresh_token: Option<Token>,
    pub expires_in_ms: Option<i64>,
}

/// Tokens that were drawn and not yet stored.
pub(super) struct Drawn {
    pub access: Token,
    pub refresh: Option<Token>,
    pub expires_ts: Option<i64>,
}

impl Drawn {
    pub fn new(refresh: bool, now: i64) -> Self {
        Self {
            access: Token::draw("roost_at_"),
            refresh: refresh.then(|| Token::draw("roost_rt_")),
            expires_ts: refresh.then_some(now + REFRESHABLE_MS),
        }
    }

    pub fn expires_in_ms(&self) -> Option<i64> {
        self.refresh.is_some().then_some(REFRESHABLE_MS)
    }

    /// What is stored of them, for the device that `how` names, or for one with a fresh ID.
    pub fn issue(&self, how: LogIn) -> Result<Issue, LoginError> {
        let device_id = match how.device_id {
            Some(id) if names::is_device_id(&id) => id,
            Some(_) => return Err(LoginError::DeviceId),
            None => names::any_device_id(),
        };
        if how.display_name.as_deref().is_some_and(|name| !names::is_device_name(name)) {
            return Err(LoginError::DeviceName);
        }
        Ok(Issue {
            device_id,
            display_name: how.display_name,
            most_devices: MOST_DEVICES,
            access: Hex::from(&self.access.hash()),
            expires_ts: self.expires_ts,
            refresh: self.refresh.as_ref().map(|token| Hex::from(&token.hash())),
        })
    }
}

impl Session {
    pub(super) fn new(requester: Requester, locked: bool, expires_ts: Option<i64>) -> Self {
        Self { requester, locked, expires_ts, read_at: Instant::now(), seen_ts: AtomicI64::new(0) }
    }

    /// Whether it is time to note the session as seen; says so once in `every` milliseconds.
    pub(super) fn is_due(&self, now: i64, every: i64) -> bool {
        let seen = self.seen_ts.load(Ordering::Relaxed);
        now - seen >= every && self.seen_ts.compare_exchange(seen, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

impl Users {
    /// The session that `token` opens.
    ///
    /// # Errors
    /// See [`AuthError`].
    pub async fn authenticate(&self, token: &Token) -> Result<Arc<Session>, AuthError> {
        let hash = token.hash();
        let session = match self.0.tokens.get(&hash) {
            Ok(session) => session,
            // Boxed: what a query needs would take room in every waiting request.
            Err(ticket) => Box::pin(self.read_session(hash, ticket)).await?,
        };
        match session.expires_ts {
            Some(expires_ts) if expires_ts <= now_ms() => Err(AuthError::Expired),
            _ => Ok(session),
        }
    }

    /// Tells from now on when something about the requester's account changes, on any node.
    pub fn watch(&self, requester: &Requester) -> Watcher {
        self.0.tokens.watch(requester.user)
    }

    /// Whether the requester may go on with what they began. A token that was refreshed meanwhile is no reason to end.
    ///
    /// # Errors
    /// [`AuthError::Unknown`] where the device is logged out, [`AuthError::Locked`], or the database's own.
    pub async fn check_again(&self, requester: &Requester) -> Result<(), AuthError> {
        match storage::device::is_locked(&self.0.pool, requester.device).await? {
            None => Err(AuthError::Unknown),
            Some(true) => Err(AuthError::Locked),
            Some(false) => Ok(()),
        }
    }

    async fn read_session(&self, hash: Hash, ticket: Ticket) -> Result<Arc<Session>, AuthError> {
        let opened = storage::token::find(&self.0.pool, &hash).await?.ok_or(AuthError::Unknown)?;
        if let Some(old) = &opened.replaces {
            // Nodes may still know the access token that this one replaces. The next read comes in; until this is done, both
            // are good.
            if let Err(error) = self.change(opened.usr, UserChange::Refreshed { old: Hex::from(old.clone()) }).await {
                tracing::warn!(%error, "can't put a refreshed token out of service yet");
            }
        }
        let session = Arc::new(self.session(opened)?);
        self.0.tokens.insert(ticket, hash, &session);
        Ok(session)
    }

    fn session(&self, opened: Opened) -> storage::Result<Session> {
        let requester = Requester {
            user: opened.usr,
            user_id: self.user_id(&opened.localpart)?,
            device: opened.device,
            device_id: opened.device_id.into(),
            admin: opened.admin,
            suspended: opened.suspended,
        };
        Ok(Session::new(requester, opened.locked, opened.expires_ts))
    }

    pub(super) fn user_id(&self, localpart: &str) -> storage::Result<OwnedUserId> {
        UserId::parse(format!("@{localpart}:{}", self.0.server_name))
            .map_err(|_| storage::Error::Inconsistent(format!("the name {localpart:?} makes no user ID")))
    }

    /// What is counted as one user's name, in whatever way it is written: the localpart; empty for what nobody can be called.
    pub fn name_of(&self, user: &str) -> String {
        names::localpart(user, &self.0.server_name).unwrap_or_default()
    }

    /// Logs in with a password. `user` is a localpart or a user ID.
    ///
    /// # Errors
    /// See [`LoginError`].
    pub async fn log_in_with_password(
        &self,
        user: &str,
        password: Password,
        how: LogIn,
    ) -> Result<LoggedIn, LoginError> {
        let account = self.check_password(user, password).await?;
        self.log_in(&account, how, None).await
    }

    /// Logs in with a token of [`Self::login_token`].
    ///
    /// # Errors
    /// See [`LoginError`].
    pub async fn log_in_with_token(&self, token: &Token, how: LogIn) -> Result<LoggedIn, LoginError> {
        let user = storage::login_token::find(&self.0.pool, &token.hash(), now_ms()).await?;
        let user = user.ok_or(LoginError::UnknownToken)?;
        let account = storage::account::find(&self.0.pool, user).await?.ok_or(LoginError::UnknownToken)?;
        self.log_in(&account, how, Some(Hex::from(&token.hash()))).await
    }

    /// A token with which another device of this user can log in once, and for how many milliseconds.
    ///
    /// # Errors
    /// The database's own.
    pub async fn login_token(&self, requester: &Requester) -> storage::Result<(Token, i64)> {
        let token = Token::draw("roost_lt_");
        let expires_ts = now_ms() + LOGIN_TOKEN_MS;
        storage::login_token::insert(&self.0.pool, &token.hash(), requester.user, expires_ts).await?;
        Ok((token, LOGIN_TOKEN_MS))
    }

    /// The account, if the password is its own.
    pub(super) async fn check_password(&self, user: &str, password: Password) -> Result<Account, LoginError> {
        let account = match names::localpart(user, &self.0.server_name) {
            Ok(localpart) => storage::account::by_localpart(&self.0.pool, &localpart).await?,
            Err(_) => None,
        };
        // A deactivated account has no password any more, and looks like one that never was.
        let stored = account.as_ref().and_then(|account| account.password.clone());
        let matches = self.0.hasher.verify(password, stored).await;
        account.filter(|_| matches).ok_or(LoginError::Refused)
    }

    /// Logs a device of `account` in, uses up the token for `m.login.token` that was shown for it, and tells those who share
    /// rooms with the user about a new device: all at once.
    pub(super) async fn log_in(
        &self,
        account: &Account,
        how: LogIn,
        login_token: Option<Hex>,
    ) -> Result<LoggedIn, LoginError> {
        if account.deactivated {
            return Err(LoginError::Deactivated);
        }
        if account.locked {
            return Err(LoginError::Locked);
        }
        let drawn = Drawn::new(how.refresh, now_ms());
        let issue = drawn.issue(how)?;
        let device_id = issue.device_id.clone();
        // The account must still be what was checked: a password that changed meanwhile lets nobody in.
        let password = account.password.clone().map(Hidden);
        match self.change(account.usr, UserChange::LogIn { password, login_token, issue }).await? {
            Became::Done => self.logged_in(&account.localpart, device_id, drawn),
            Became::TokenSpent => Err(LoginError::UnknownToken),
            _ => Err(LoginError::Refused),
        }
    }

    pub(super) fn logged_in(&self, localpart: &str, device_id: String, drawn: Drawn) -> Result<LoggedIn, LoginError> {
        Ok(LoggedIn {
            user_id: self.user_id(localpart)?,
            device_id: device_id.into(),
            expires_in_ms: drawn.expires_in_ms(),
            access_token: drawn.access,
            refresh_token: drawn.refresh,
        })
    }
}
