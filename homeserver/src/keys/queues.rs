//! What waits for a device that does not come is bounded: the oldest messages go.
//!
//! A queue is looked at once in so many messages that this node put into it, so that a send costs no look.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use moka::sync::Cache;

use super::Keys;
use crate::storage::{self, DeviceNr, UserNr, to_device};

/// So many messages wait for a device, and so many bytes, beside what is put there between two looks.
const MOST: i64 = 20_000;
const MOST_BYTES: i64 = 32 << 20;
/// A queue is looked at after so many messages or bytes.
const LOOK_AFTER: usize = 500;
const LOOK_AFTER_BYTES: usize = 2 << 20;

/// What was put into queues since they were looked at.
pub(super) struct Queues(Cache<DeviceNr, Arc<Put>>);

#[derive(Default)]
struct Put {
    messages: AtomicUsize,
    bytes: AtomicUsize,
}

impl Default for Queues {
    fn default() -> Self {
        Self(Cache::builder().max_capacity(50_000).time_to_idle(Duration::from_secs(24 * 3600)).build())
    }
}

impl Put {
    /// Adds a message. Whether it is time to look.
    fn add(&self, bytes: usize) -> bool {
        let messages = self.messages.fetch_add(1, Ordering::Relaxed) + 1;
        let bytes = self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        messages >= LOOK_AFTER || bytes >= LOOK_AFTER_BYTES
    }
}

impl Keys {
    /// Counts messages that are about to be queued, and shortens the queues for which it is time.
    pub(super) async fn make_room(&self, messages: &[(UserNr, DeviceNr, Arc<str>)]) -> storage::Result<()> {
        let mut by_device: HashMap<DeviceNr, usize> = HashMap::new();
        for (_, device, event) in messages {
            *by_device.entry(*device).or_default() += event.len();
        }
        for (device, bytes) in by_device {
            if self.0.queues.0.get_with(device, Arc::default).add(bytes) {
                self.0.queues.0.invalidate(&device);
                let gone = to_device::trim(&self.0.pool, device, MOST, MOST_BYTES).await?;
                if gone > 0 {
                    tracing::warn!(device = device.0, gone, "a device left more messages waiting than are kept");
                }
            }
        }
        Ok(())
    }
}
