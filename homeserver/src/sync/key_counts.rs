//! `device_one_time_keys_count` and `device_unused_fallback_key_types`: in every answer, because to clients "absent" means
//! "none left".

use std::{sync::Arc, time::Duration};

use super::Sync;
use crate::{
    keys::KeyCounts,
    storage::{DeviceNr, Result},
};

/// How late a claim at another node may be told. Those at this one are told at once.
const FRESH: Duration = Duration::from_secs(10);
/// The same for a poll that ends without news, and where there is no other node.
const LONG: Duration = Duration::from_secs(10 * 60);

impl Sync {
    /// What is left of the device's keys; from memory as a rule.
    ///
    /// # Errors
    /// The database's own.
    pub(super) async fn key_counts(&self, device: DeviceNr, idle: bool) -> Result<Arc<KeyCounts>> {
        self.0.keys.counts(device, if idle || !self.0.log.is_shared() { LONG } else { FRESH }).await
    }
}
