//! Users: accounts, devices, access tokens and profiles, and who is asking.
//!
//! **Invariant:** no rooms here; what spans users and rooms lives in `account`.

mod account_data;
mod turns;

pub use account_data::{AccountData, AccountDataError, GLOBAL};
use ruma::{OwnedDeviceId, OwnedUserId};

pub use turns::Turns;

use crate::storage::{DeviceNr, UserNr};

/// Who is asking: had only by a valid access token.
#[derive(Debug, Clone)]
pub struct Requester {
    pub user: UserNr,
    pub user_id: OwnedUserId,
    pub device: DeviceNr,
    pub device_id: OwnedDeviceId,
    pub admin: bool,
}
