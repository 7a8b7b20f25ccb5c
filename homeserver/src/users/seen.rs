//! When and from where devices were last seen: gathered in memory, written now and then.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio_util::sync::CancellationToken;

use super::{Session, Users};
use crate::{
    clock::now_ms,
    storage::{self, DeviceNr},
};

/// A device's time is noted once in so many milliseconds.
const PRECISION_MS: i64 = 60_000;
const WRITE_EVERY: Duration = Duration::from_secs(30);
/// What is too old to be of use is dropped at the start, and once in so many rounds: about an hour.
const SWEEP_EVERY: u32 = 120;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// What is not written yet. Bounded by the devices that can be seen between two writes.
#[derive(Default)]
pub(super) struct Seen(Mutex<HashMap<DeviceNr, (i64, IpAddr)>>);

impl Seen {
    fn take(&self) -> Vec<(DeviceNr, i64, String)> {
        let noted = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        noted.into_iter().map(|(device, (ts, ip))| (device, ts, ip.to_string())).collect()
    }
}

impl Users {
    /// Notes that a session's device asked something.
    pub fn note_seen(&self, session: &Session, ip: IpAddr) {
        let now = now_ms();
        if session.is_due(now, PRECISION_MS) {
            let mut noted = self.0.seen.0.lock().unwrap_or_else(PoisonError::into_inner);
            noted.insert(session.requester.device, (now, ip));
        }
    }

    /// Writes what was noted.
    ///
    /// # Errors
    /// The database's own; what was noted is lost then.
    pub async fn write_seen(&self) -> storage::Result<()> {
        let noted = self.0.seen.take();
        if noted.is_empty() { Ok(()) } else { storage::device::seen(&self.0.pool, &noted).await }
    }

    /// Writes what was noted and drops what has expired, until `shutdown`.
    pub async fn housekeeping(self, shutdown: CancellationToken) {
        for round in (0..SWEEP_EVERY).cycle() {
            if round == 0
                && let Err(error) = self.sweep().await
            {
                tracing::warn!(%error, "can't drop what is too old to be of use");
            }
            let ending = tokio::select! {
                () = shutdown.cancelled() => true,
                () = tokio::time::sleep(WRITE_EVERY) => false,
            };
            if let Err(error) = self.write_seen().await {
                tracing::debug!(%error, "can't write when devices were last seen");
            }
            if !ending && let Err(error) = self.clear_remains(&shutdown).await {
                tracing::warn!(%error, "can't clear what deleted devices left behind");
            }
            if ending {
                return;
            }
        }
    }

    /// Piece by piece: nothing waits for it.
    async fn clear_remains(&self, shutdown: &CancellationToken) -> storage::Result<()> {
        while !shutdown.is_cancelled() && storage::remains::clear(&self.0.pool).await? {}
        Ok(())
    }

    /// In one transaction, as far as it is little: an idle server is to leave the database alone.
    async fn sweep(&self) -> storage::Result<()> {
        let now = now_ms();
        let mut transaction = self.0.pool.begin().await?;
        storage::uia::sweep(&mut transaction, now - DAY_MS).await?;
        storage::login_token::sweep(&mut transaction, now).await?;
        // A client that comes back after weeks still learns that its token is old, not unknown.
        storage::token::sweep(&mut transaction, now - 60 * DAY_MS).await?;
        storage::one_time_key::sweep(&mut transaction, now).await?;
        transaction.commit().await?;
        storage::txn::sweep(&self.0.pool, now - DAY_MS).await
    }
}
