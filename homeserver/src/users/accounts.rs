//! Accounts, as administrators and the command line see them.

use ruma::OwnedUserId;
use serde::Serialize;

use super::{DeviceInfo, NameError, Password, Users, names, password::LONGEST};
use crate::{
    log,
    storage::{
        self, DeviceNr, UserNr,
        account::Account,
        user_change::{Became, Hidden, UserChange},
    },
};

/// Why an account was left as it was.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// There is none with this name.
    #[error("there is no such user on this server")]
    NotFound,
    /// The account has no device of this name.
    #[error("the user has no device {0}")]
    NoDevice(String),
    /// It was deactivated, which is for ever.
    #[error("the account was deactivated")]
    Deactivated,
    /// Nobody can be called so.
    #[error(transparent)]
    Name(#[from] NameError),
    /// An empty password, or one too long to be hashed.
    #[error("a password has 1 to {LONGEST} bytes")]
    Password,
    /// The password could not be hashed.
    #[error("the password could not be hashed")]
    Hash,
    /// The database.
    #[error(transparent)]
    Storage(#[from] storage::Error),
    /// The log.
    #[error(transparent)]
    Log(#[from] log::Error),
}

/// What may be shown of an account.
#[derive(Debug, Clone, Serialize)]
pub struct AccountInfo {
    pub user_id: OwnedUserId,
    pub admin: bool,
    pub locked: bool,
    pub suspended: bool,
    pub deactivated: bool,
    /// Milliseconds since 1970.
    pub created_ts: i64,
}

impl Users {
    /// Up to `limit` accounts after the name `after`, by name.
    ///
    /// # Errors
    /// The database's own.
    pub async fn accounts(&self, after: &str, limit: i64) -> storage::Result<Vec<AccountInfo>> {
        let accounts = storage::account::list(&self.0.pool, after, limit).await?;
        accounts.into_iter().map(|account| self.info(&account)).collect()
    }

    /// An account, by a localpart or a user ID.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub async fn account(&self, user: &str) -> Result<AccountInfo, AccountError> {
        let account = self.find(user).await?;
        Ok(self.info(&account)?)
    }

    fn info(&self, account: &Account) -> storage::Result<AccountInfo> {
        Ok(AccountInfo {
            user_id: self.user_id(&account.localpart)?,
            admin: account.admin,
            locked: account.locked,
            suspended: account.suspended,
            deactivated: account.deactivated,
            created_ts: account.created_ts,
        })
    }

    async fn find(&self, user: &str) -> Result<Account, AccountError> {
        let localpart = names::localpart(user, &self.0.server_name)?;
        storage::account::by_localpart(&self.0.pool, &localpart).await?.ok_or(AccountError::NotFound)
    }

    /// Hashes a password that somebody chose.
    pub(super) async fn hash(&self, password: Password) -> Result<String, AccountError> {
        if !(1..=LONGEST).contains(&password.as_bytes().len()) {
            return Err(AccountError::Password);
        }
        self.0.hasher.hash(password).await.ok_or(AccountError::Hash)
    }

    /// Sets a password, and logs out all devices but `keep` where `log_out` says so: both at once.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub async fn set_password(
        &self,
        user: UserNr,
        password: Password,
        log_out: bool,
        keep: Option<DeviceNr>,
    ) -> Result<(), AccountError> {
        let password = Hidden(self.hash(password).await?);
        match self.change(user, UserChange::Password { password, log_out, keep }).await? {
            Became::Absent => Err(AccountError::Deactivated),
            _ => Ok(()),
        }
    }

    /// Sets a password for an administrator, who names the user, and logs all devices out.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub async fn reset_password(&self, user: &str, password: Password) -> Result<(), AccountError> {
        let account = self.find(user).await?;
        self.set_password(account.usr, password, true, None).await
    }

    /// The devices of an account, by a localpart or a user ID.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub async fn devices_of(&self, user: &str) -> Result<Vec<DeviceInfo>, AccountError> {
        let account = self.find(user).await?;
        Ok(self.devices(account.usr).await?)
    }

    /// Logs an account's devices out: `device`, or all of them.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub async fn end_devices(&self, user: &str, device: Option<&str>) -> Result<(), AccountError> {
        let account = self.find(user).await?;
        let Some(device) = device else {
            return self.delete_other_devices(account.usr, None).await.map_err(AccountError::from);
        };
        if storage::device::find(&self.0.pool, account.usr, device).await?.is_none() {
            return Err(AccountError::NoDevice(device.to_owned()));
        }
        self.delete_devices(account.usr, &[device.to_owned()]).await.map_err(AccountError::from)
    }

    /// Makes somebody an administrator, or no longer.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub async fn set_admin(&self, user: &str, admin: bool) -> Result<(), AccountError> {
        let account = self.find(user).await?;
        self.set_standing(account.usr, Some(admin), None, None).await
    }

    /// Locks an account, or unlocks it. Its devices stay, and can do nothing but log out.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub async fn set_locked(&self, user: &str, locked: bool) -> Result<(), AccountError> {
        let account = self.find(user).await?;
        self.set_standing(account.usr, None, Some(locked), None).await
    }

    /// Suspends an account, or reinstates it. A suspended user reads, and does little else.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub async fn set_suspended(&self, user: &str, suspended: bool) -> Result<(), AccountError> {
        let account = self.find(user).await?;
        self.set_standing(account.usr, None, None, Some(suspended)).await
    }

    async fn set_standing(
        &self,
        user: UserNr,
        admin: Option<bool>,
        locked: Option<bool>,
        suspended: Option<bool>,
    ) -> Result<(), AccountError> {
        match self.change(user, UserChange::Standing { admin, locked, suspended }).await? {
            Became::Absent => Err(AccountError::NotFound),
            _ => Ok(()),
        }
    }

    /// Deactivated users whose rooms are still to be left.
    ///
    /// # Errors
    /// The database's own.
    pub async fn leaving(&self) -> storage::Result<Vec<(UserNr, OwnedUserId)>> {
        let mut found = Vec::new();
        for user in storage::account::leaving(&self.0.pool).await? {
            if let Some(account) = storage::account::find(&self.0.pool, user).await? {
                found.push((user, self.user_id(&account.localpart)?));
            }
        }
        Ok(found)
    }

    /// Notes that a deactivated user has left all rooms.
    ///
    /// # Errors
    /// The database's own.
    pub async fn left(&self, user: UserNr) -> storage::Result<()> {
        storage::account::left(&self.0.pool, user).await
    }

    /// Ends an account with its devices and tokens. Some node then leaves its rooms.
    ///
    /// # Errors
    /// See [`AccountError`].
    pub async fn deactivate(&self, user: &str, erase: bool) -> Result<UserNr, AccountError> {
        let account = self.find(user).await?;
        self.change(account.usr, UserChange::Deactivate { erase }).await?;
        Ok(account.usr)
    }
}
