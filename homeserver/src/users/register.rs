//! Making an account.

use ruma::OwnedUserId;

use super::{AccountError, LogIn, LoggedIn, LoginError, NameError, Password, Users, names};
use crate::{
    clock::now_ms,
    storage::{self, account::Account},
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
        let account = self.create_account(new).await?;
        Ok(self.user_id(&account.localpart)?)
    }

    /// Makes an account and logs its first device in.
    ///
    /// # Errors
    /// See [`RegisterError`].
    pub async fn register(&self, new: NewAccount, how: LogIn) -> Result<LoggedIn, RegisterError> {
        if how.device_id.as_deref().is_some_and(|id| !names::is_device_id(id)) {
            return Err(LoginError::DeviceId.into());
        }
        if how.display_name.as_deref().is_some_and(|name| !names::is_device_name(name)) {
            return Err(LoginError::DeviceName.into());
        }
        let account = self.create_account(new).await?;
        Ok(self.log_in(&account, how).await?)
    }

    async fn create_account(&self, new: NewAccount) -> Result<Account, RegisterError> {
        let localpart = match &new.name {
            Some(name) => self.check_name(name).await?,
            None => names::any_localpart(),
        };
        let password = match new.password {
            Some(password) => Some(self.hash(password).await?),
            None => None,
        };
        let now = now_ms();
        // Counted before the account is made: a token is never used more often than it allows.
        if let Some(token) = &new.registration_token
            && !storage::registration_token::consume(&self.0.pool, token, now).await?
        {
            return Err(RegisterError::RegistrationToken);
        }
        let user_id = self.user_id(&localpart)?;
        let usr = self.0.interner.number(user_id.as_str()).await?;
        let (pool, admin) = (&self.0.pool, new.admin);
        if !storage::account::insert(pool, usr, &localpart, password.as_deref(), admin, now).await? {
            return Err(RegisterError::InUse);
        }
        let (locked, suspended, deactivated) = (false, false, false);
        Ok(Account { usr, localpart, password, admin, locked, suspended, deactivated, created_ts: now })
    }
}
