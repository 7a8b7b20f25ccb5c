//! Errors that several operations share.

use crate::{log, storage};

/// Why nobody was logged in.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// Wrong user, password or token; which, is nobody's business.
    #[error("the user name or the password is wrong")]
    Refused,
    /// The password of another user than the one who asks.
    #[error("another user can't prove that you are you")]
    OtherUser,
    /// The login token is unknown, used or expired.
    #[error("the login token is unknown, used or expired")]
    UnknownToken,
    /// The account was deactivated.
    #[error("the account was deactivated")]
    Deactivated,
    /// The account is locked.
    #[error("the account is locked")]
    Locked,
    /// The client's device ID can't be used.
    #[error("a device ID has 1 to 255 bytes and no control characters")]
    DeviceId,
    /// The client's device name can't be used.
    #[error("a device's name has 100 characters at most")]
    DeviceName,
    /// The database.
    #[error(transparent)]
    Storage(#[from] storage::Error),
    /// The log.
    #[error(transparent)]
    Log(#[from] log::Error),
}
