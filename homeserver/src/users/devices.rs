//! A user's devices, as the user sees them.

use ruma::DeviceId;
use serde::Serialize;

use super::{Requester, Users, names};
use crate::storage::{
    self, UserNr,
    device::Device,
    user_change::{Became, UserChange},
};

/// A device, in the form of the API.
#[derive(Debug, Clone, Serialize)]
pub struct DeviceInfo {
    pub device_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_seen_ts: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_seen_ip: Option<String>,
}

impl From<Device> for DeviceInfo {
    fn from(device: Device) -> Self {
        let Device { device_id, display_name, last_seen_ts, last_seen_ip, .. } = device;
        Self { device_id, display_name, last_seen_ts, last_seen_ip }
    }
}

impl Users {
    /// All devices of a user.
    ///
    /// # Errors
    /// The database's own.
    pub async fn devices(&self, user: UserNr) -> storage::Result<Vec<DeviceInfo>> {
        self.write_seen().await?;
        let devices = storage::device::list(&self.0.pool, user).await?;
        Ok(devices.into_iter().map(DeviceInfo::from).collect())
    }

    /// One device of a user.
    ///
    /// # Errors
    /// The database's own.
    pub async fn device(&self, user: UserNr, device_id: &DeviceId) -> storage::Result<Option<DeviceInfo>> {
        self.write_seen().await?;
        Ok(storage::device::find(&self.0.pool, user, device_id.as_str()).await?.map(DeviceInfo::from))
    }

    /// Names a device; others who share rooms learn of it with the device list, if it has keys. `None`: there is no such device.
    ///
    /// # Errors
    /// See [`super::LoginError`].
    pub async fn rename_device(
        &self,
        requester: &Requester,
        device_id: &DeviceId,
        display_name: Option<&str>,
    ) -> Result<Option<()>, super::LoginError> {
        if display_name.is_some_and(|name| !names::is_device_name(name)) {
            return Err(super::LoginError::DeviceName);
        }
        let Some(name) = display_name else {
            return Ok(storage::device::find(&self.0.pool, requester.user, device_id.as_str()).await?.map(|_| ()));
        };
        let change = UserChange::DeviceName { device_id: device_id.to_string(), name: name.to_owned() };
        let became = self.0.moments.tell(requester.user, || self.change(requester.user, change)).await?;
        Ok((became != Became::Absent).then_some(()))
    }
}
