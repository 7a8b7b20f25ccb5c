//! Old slices go: whoever would still need them reads the database anew.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Log;
use crate::{backoff::spread, clock::now_ms, storage};

/// A node that was away for longer begins anew.
pub(super) const KEPT: Duration = Duration::from_secs(3600);
const EVERY: Duration = Duration::from_secs(120);
/// Between two steps, each of which is bounded: others write meanwhile.
const PAUSE: Duration = Duration::from_millis(100);

/// Drops what is too old, until `shutdown`.
pub(super) async fn run(log: Log, shutdown: CancellationToken) {
    // An idle server leaves the database alone.
    let mut done = log.watermark();
    loop {
        if shutdown.run_until_cancelled(tokio::time::sleep(spread(EVERY))).await.is_none() {
            return;
        }
        let now = log.watermark();
        if now == done {
            continue;
        }
        match all(&log).await {
            Ok(0) => {}
            Ok(count) => tracing::debug!(count, "dropped old slices"),
            Err(error) => tracing::debug!(%error, "can't drop old slices"),
        }
        done = now;
    }
}

async fn all(log: &Log) -> storage::Result<u64> {
    let before = now_ms() - i64::try_from(KEPT.as_millis()).unwrap_or(i64::MAX);
    let mut count = 0;
    loop {
        let dropped = storage::slice::prune(&log.0.pool, before).await?;
        if dropped == 0 {
            return Ok(count);
        }
        count += dropped;
        tokio::time::sleep(PAUSE).await;
    }
}
