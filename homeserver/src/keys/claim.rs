//! `POST /keys/claim`

use std::collections::{BTreeMap, HashMap};

use ruma::{OwnedDeviceId, OwnedServerName, OwnedUserId};
use serde_json::value::RawValue;

use super::Keys;
use crate::{
    clock::now_ms,
    storage::{self, DeviceNr, device, one_time_key},
};

/// The algorithm wanted, by user and device.
pub type Wanted = BTreeMap<OwnedUserId, BTreeMap<OwnedDeviceId, String>>;

/// What was claimed.
#[derive(Debug, Default)]
pub struct ClaimedKeys {
    /// By user, device and `algorithm:key_id`.
    pub keys: BTreeMap<OwnedUserId, BTreeMap<OwnedDeviceId, BTreeMap<String, Box<RawValue>>>>,
    /// Servers that could not be asked.
    pub unreachable: Vec<OwnedServerName>,
}

impl Keys {
    /// Claims one key a device: the oldest one-time key, else the fallback key. Devices without any are left out.
    ///
    /// # Errors
    /// The database's own.
    pub async fn claim(&self, wanted: &Wanted) -> storage::Result<ClaimedKeys> {
        let mut claimed = ClaimedKeys { unreachable: self.foreign_servers(wanted.keys()), ..ClaimedKeys::default() };
        let users = self.local_numbers(wanted.keys().map(AsRef::as_ref)).await?;
        let numbers: Vec<_> = users.iter().map(|u| u.0).collect();
        let names: HashMap<_, _> = users.into_iter().collect();

        let mut places: HashMap<DeviceNr, (OwnedUserId, OwnedDeviceId)> = HashMap::new();
        let mut asked: Vec<(DeviceNr, &str)> = Vec::new();
        for (user, device_id, nr) in device::of_users(&self.0.pool, &numbers).await? {
            let Some(user_id) = names.get(&user) else { continue };
            let Some((user_id, devices)) = wanted.get_key_value(*user_id) else { continue };
            let Some((device_id, algorithm)) = devices.get_key_value(<&ruma::DeviceId>::from(device_id.as_str()))
            else {
                continue;
            };
            places.insert(nr, (user_id.clone(), device_id.clone()));
            asked.push((nr, algorithm));
        }
        // One order for all claims: two that meet don't wait for each other crosswise.
        asked.sort_unstable();

        let mut found = one_time_key::claim(&self.0.pool, &asked, now_ms()).await?;
        if found.len() < asked.len() {
            let served: std::collections::HashSet<DeviceNr> = found.iter().map(|k| k.device).collect();
            asked.retain(|(device, _)| !served.contains(device));
            found.extend(one_time_key::claim_fallback(&self.0.pool, &asked).await?);
        }
        self.counts_changed(&found.iter().map(|key| key.device).collect::<Vec<_>>()).await;
        for key in found {
            let Some((user_id, device_id)) = places.remove(&key.device) else { continue };
            let json = RawValue::from_string(key.json).map_err(|e| storage::Error::Inconsistent(e.to_string()))?;
            let name = format!("{}:{}", key.algorithm, key.key_id);
            claimed.keys.entry(user_id).or_default().insert(device_id, BTreeMap::from([(name, json)]));
        }
        Ok(claimed)
    }

    pub(super) fn foreign_servers<'a>(&self, users: impl Iterator<Item = &'a OwnedUserId>) -> Vec<OwnedServerName> {
        let mut servers: Vec<OwnedServerName> =
            users.filter(|u| !self.is_local(u)).map(|u| u.server_name().to_owned()).collect();
        servers.sort();
        servers.dedup();
        servers
    }
}
