//! What is left of devices' one-time keys, in memory: every sync tells it.
//!
//! This node's own uploads and claims are known at once, those of other nodes when an entry is older than the caller takes.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use moka::sync::Cache;

use super::{KeyCounts, Keys};
use crate::storage::{self, DeviceNr, one_time_key};

pub(super) struct Counts(Cache<DeviceNr, (Instant, Arc<KeyCounts>)>);

impl Counts {
    pub fn new() -> Self {
        Self(Cache::builder().max_capacity(50_000).time_to_live(Duration::from_secs(3600)).build())
    }

    /// Something was uploaded or claimed.
    pub fn forget(&self, device: DeviceNr) {
        self.0.invalidate(&device);
    }
}

impl Keys {
    /// What is left of a device's one-time keys, as it was `max_age` ago or later.
    ///
    /// # Errors
    /// The database's own.
    pub async fn counts(&self, device: DeviceNr, max_age: Duration) -> storage::Result<Arc<KeyCounts>> {
        let now = Instant::now();
        if let Some((at, counts)) = self.0.counts.0.get(&device)
            && now.duration_since(at) <= max_age
        {
            return Ok(counts);
        }
        let mut conn = self.0.pool.acquire().await.map_err(storage::Error::from)?;
        let counts = Arc::new(read(&mut conn, device).await?);
        self.0.counts.0.insert(device, (now, Arc::clone(&counts)));
        Ok(counts)
    }
}

pub(super) async fn read(conn: &mut sqlx::PgConnection, device: DeviceNr) -> storage::Result<KeyCounts> {
    let mut one_time: BTreeMap<String, i64> = one_time_key::counts(conn, device).await?.into_iter().collect();
    one_time.entry("signed_curve25519".to_owned()).or_insert(0);
    Ok(KeyCounts { one_time, unused_fallback: one_time_key::unused_fallbacks(conn, device).await? })
}
