//! Making an account.

use ruma::OwnedUserId;

use super::{AccountError, LogIn, LoggedIn, LoginError, NameError, Password, Users, names, session::Drawn};
use crate::{
    clock::now_ms,
    storage::{
        self,
        account::Account,
        user_change::{Became, Hidden, Issue, UserChange},
    },
};

/// An account to be made.
#[derive(Debug)]
pub struct NewAccount {
    /// A localpart that [`Users::check_name`] has passed; a drawn one where the client asks for none.
    pub name: Option<String>,
    /// Without one nobody logs in with a password.
    pub password: Option<Password>,
    pub admin: bool,
    /// The registration token that is counted as used.
    pub registration_token: Option<String>,
    /// The session of user-interactive authentication that this ends: it remembers what was made.
    pub session: Option<String>,
}

/// What a session made.
#[derive(Debug)]
pub struct Made {
    account: Account,
    device_id: Option<String>,
}

/// Why no account was made.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    /// The name belongs to somebody, or did once.
    #[error("the user name is taken")]
    InUse,
    /// Nobody can be called so.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The registration token was spent or revoked in the meantime.
    #[error("the registration token was spent or revoked")]
    RegistrationToken,
    /// Another request ended the session in the meantime.
    #[error("the session was used by another request")]
    Session,
    /// The password.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// The first login.
    #[error(transparent)]
    Login(#[from] LoginError),
    /// The database.
    #[error(transparent)]
    Storage(#[from] storage::Error),
}

impl Users {
    /// The localpart that a client would get for `asked`, if it is free.
    ///
    /// # Errors
    /// See [`RegisterError`].
    pub async fn check_name(&self, asked: &str) -> Result<String, RegisterError> {
        let localpart = names::localpart(asked, &self.0.server_name)?;
        match storage::account::by_localpart(&self.0.pool, &localpart).await? {
            Some(_) => Err(RegisterError::InUse),
            None => Ok(localpart),
        }
    }

    /// Makes an account without logging in.
    ///
    /// # Errors
    /// See [`RegisterError`].
    pub async fn create(&self, new: NewAccount) -> Result<OwnedUserId, RegisterError> {
        let localpart = self.make(new, None).await?;
        Ok(self.user_id(&localpart)?)
    }

    /// Makes an account and logs its first device in, at once.
    ///
    /// # Errors
    /// See [`RegisterError`].
    pub async fn register(&self, new: NewAccount, how: LogIn) -> Result<LoggedIn, RegisterError> {
        let drawn = Drawn::new(how.refresh, now_ms());
        let issue = drawn.issue(how)?;
        let device_id = issue.device_id.clone();
        let localpart = self.make(new, Some(issue)).await?;
        Ok(self.logged_in(&localpart, device_id, drawn)?)
    }

    /// What `/register` made in the session of this ID, for a client whose answer was lost. `None`: nothing, or not lately.
    ///
    /// # Errors
    /// The database's own.
    pub async fn made_in(&self, session: &str, operation: &str) -> storage::Result<Option<Made>> {
        let found = storage::uia::find(&self.0.pool, session).await?;
        let found = found.filter(|it| it.operation == operation && it.is_repeatable(now_ms()));
        let Some((Some(user), device_id)) = found.map(|it| (it.made_usr, it.made_device)) else { return Ok(None) };
        let account = storage::account::find(&self.0.pool, user).await?.filter(|account| !account.deactivated);
        Ok(account.map(|account| Made { account, device_id }))
    }

    /// Shows that account again to whoever knows its password, logged in anew where a device was: tokens can't be read back.
    /// `None`: another account is asked for.
    ///
    /// # Errors
    /// See [`RegisterError`].
    pub async fn register_again(
        &self,
        made: Made,
        name: Option<&str>,
        password: Password,
        refresh: bool,
    ) -> Result<Option<(OwnedUserId, Option<LoggedIn>)>, RegisterError> {
        let Made { account, device_id } = made;
        let asked = name.map(|name| names::localpart(name, &self.0.server_name)).transpose()?;
        if asked.is_some_and(|asked| asked != account.localpart)
            || !self.0.hasher.verify(password, account.password.clone()).await
        {
            return Ok(None);
        }
        let how = device_id.map(|id| LogIn { device_id: Some(id), display_name: None, refresh });
        let device = match how {
            Some(how) => Some(self.log_in(&account, how, None).await?),
            None => None,
        };
        Ok(Some((self.user_id(&account.localpart)?, device)))
    }

    /// Makes the account, with all that belongs to it, in one commit. Returns its localpart.
    async fn make(&self, new: NewAccount, log_in: Option<Issue>) -> Result<String, RegisterError> {
        let localpart = match &new.name {
            Some(name) => self.check_name(name).await?,
            None => names::any_localpart(),
        };
        let password = match new.password {
            Some(password) => Some(Hidden(self.hash(password).await?)),
            None => None,
        };
        let user = self.0.interner.number(self.user_id(&localpart)?.as_str()).await?;
        let change = UserChange::Register {
            localpart: localpart.clone(),
            password,
            admin: new.admin,
            registration_token: new.registration_token,
            session: new.session,
            log_in,
        };
        match self.change(user, change).await.map_err(LoginError::from)? {
            Became::Done => Ok(localpart),
            Became::TokenSpent => Err(RegisterError::RegistrationToken),
            Became::SessionGone => Err(RegisterError::Session),
            _ => Err(RegisterError::InUse),
        }
    }
}
