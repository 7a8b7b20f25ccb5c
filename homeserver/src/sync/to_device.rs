//! Messages to the device: delivered in order, deleted when the next token shows that they arrived.

use super::Sync;
use crate::{
    cache::Cache,
    storage::{self, DeviceNr, Pos, Result},
};

/// Messages in one answer of `/sync`.
pub(super) const LIMIT: i64 = 100;

/// Up to where each device may have messages that were delivered and are not deleted yet; absent: unknown.
pub(super) struct Delivered(Cache<DeviceNr, Pos>);

/// The answer's section.
#[derive(Debug, Default)]
pub(super) struct ToDevice {
    pub events: Vec<String>,
    /// Everything up to here is delivered with this answer.
    pub until: Pos,
}

impl Delivered {
    pub fn new() -> Self {
        Self(Cache::new(100_000))
    }
}

impl Sync {
    /// Deletes what the device shows to have received by coming with `token`. Costs nothing where nothing is left.
    pub(super) async fn received(&self, device: DeviceNr, token: Pos) -> Result<()> {
        let delivered = &self.0.delivered.0;
        match delivered.get(&device) {
            Some(Pos(0)) => {}
            Some(until) if until > token => {}
            _ => {
                storage::to_device::delete(&self.0.pool, device, token).await?;
                delivered.insert(device, Pos(0));
            }
        }
        Ok(())
    }

    /// The next messages after `since`, `limit` at most.
    pub(super) async fn to_device(&self, device: DeviceNr, since: Pos, until: Pos, limit: i64) -> Result<ToDevice> {
        if !self.0.caches.touched.to_device(device, since) {
            return Ok(ToDevice { events: Vec::new(), until });
        }
        let rows = storage::to_device::after(&self.0.pool, device, since, until, limit).await?;
        let more = i64::try_from(rows.len()).unwrap_or(limit) >= limit;
        let Some(last) = rows.last().map(|row| row.pos) else { return Ok(ToDevice { events: Vec::new(), until }) };
        self.0.delivered.0.insert(device, last);
        let events = rows.into_iter().map(|row| row.json).collect();
        Ok(ToDevice { events, until: if more { last } else { until } })
    }
}
