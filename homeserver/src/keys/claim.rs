//! `POST /keys/claim`

use std::collections::{BTreeMap, HashMap, HashSet};

use ruma::{OwnedDeviceId, OwnedServerName, OwnedUserId, UserId};
use serde_json::value::RawValue;

use super::Keys;
use crate::{
    clock::now_ms,
    storage::{self, UserNr, one_time_key, one_time_key::WantedKey},
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
        let mut asked: Vec<WantedKey<'_>> = users
            .iter()
            .filter_map(|(user, user_id)| Some((*user, wanted.get(*user_id)?)))
            .flat_map(|(user, devices)| {
                devices.iter().map(move |(device_id, algorithm)| WantedKey {
                    user,
                    device_id: device_id.as_str(),
                    algorithm,
                })
            })
            .collect();
        // One order for all claims: two that meet don't wait for each other crosswise.
        asked.sort_unstable();
        let names: HashMap<UserNr, &UserId> = users.into_iter().collect();

        let mut found = one_time_key::claim(&self.0.pool, &asked, now_ms()).await?;
        if found.len() < asked.len() {
            let served: HashSet<(UserNr, &str)> = found.iter().map(|key| (key.user, &*key.device_id)).collect();
            asked.retain(|key| !served.contains(&(key.user, key.device_id)));
            found.extend(one_time_key::claim_fallback(&self.0.pool, &asked).await?);
        }
        self.counts_changed(&found.iter().map(|key| key.device).collect::<Vec<_>>()).await;
        for key in found {
            let Some(user_id) = names.get(&key.user) else { continue };
            let json = RawValue::from_string(key.json).map_err(|e| storage::Error::Inconsistent(e.to_string()))?;
            let name = format!("{}:{}", key.algorithm, key.key_id);
            let devices = claimed.keys.entry((*user_id).to_owned()).or_default();
            devices.insert(key.device_id.into(), BTreeMap::from([(name, json)]));
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
