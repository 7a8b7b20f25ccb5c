//! What is left of devices' one-time keys, in memory: every sync tells it.
//!
//! This node's own uploads and claims are known at once, those of other nodes by the bell, and where it lost a ring, when an
//! entry is older than the caller takes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use moka::sync::Cache;
use tokio_util::sync::CancellationToken;

use super::{KeyCounts, Keys};
use crate::{
    bell::Topic,
    storage::{self, DeviceNr, one_time_key},
};

pub(super) struct Counts {
    cache: Cache<DeviceNr, (Instant, Arc<KeyCounts>)>,
    /// Counts what was forgotten, so that nothing is kept that was read before.
    forgotten: AtomicU64,
}

impl Counts {
    pub fn new() -> Self {
        let cache = Cache::builder().max_capacity(50_000).time_to_live(Duration::from_secs(3600)).build();
        Self { cache, forgotten: AtomicU64::new(0) }
    }

    fn forget(&self, device: DeviceNr) {
        self.forgotten.fetch_add(1, Ordering::AcqRel);
        self.cache.invalidate(&device);
    }
}

impl Keys {
    /// Something was uploaded or claimed: this node and the others read anew.
    pub(super) async fn counts_changed(&self, devices: &[DeviceNr]) {
        for device in devices {
            self.0.counts.forget(*device);
        }
        if self.0.bell.is_shared() && !devices.is_empty() {
            match serde_json::to_vec(devices) {
                Ok(payload) => self.0.bell.ring(Topic::Keys, Bytes::from(payload)),
                Err(error) => tracing::error!(%error, "device numbers can't be written as JSON"),
            }
        }
    }

    /// Takes in what other nodes tell of keys, until `shutdown`.
    pub async fn hear(self, shutdown: CancellationToken) {
        let mut rings = self.0.bell.listen(Topic::Keys);
        loop {
            let ring = tokio::select! {
                () = shutdown.cancelled() => return,
                Some(ring) = rings.recv() => ring,
            };
            match serde_json::from_slice::<Vec<DeviceNr>>(&ring) {
                Ok(devices) => devices.into_iter().for_each(|device| self.0.counts.forget(device)),
                Err(error) => tracing::warn!(%error, "a ring about keys that this version can't read"),
            }
        }
    }

    /// What is left of a device's one-time keys, as it was `max_age` ago or later.
    ///
    /// # Errors
    /// The database's own.
    pub async fn counts(&self, device: DeviceNr, max_age: Duration) -> storage::Result<Arc<KeyCounts>> {
        let now = Instant::now();
        if let Some((at, counts)) = self.0.counts.cache.get(&device)
            && now.duration_since(at) <= max_age
        {
            return Ok(counts);
        }
        let forgotten = self.0.counts.forgotten.load(Ordering::Acquire);
        let counts = Arc::new(KeyCounts::new(one_time_key::counts(&self.0.pool, device).await?));
        if self.0.counts.forgotten.load(Ordering::Acquire) == forgotten {
            self.0.counts.cache.insert(device, (now, Arc::clone(&counts)));
        }
        Ok(counts)
    }
}
