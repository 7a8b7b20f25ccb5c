//! Whether the database answers at all: asked where something has taken long, on a connection of its own.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use sqlx::{ConnectOptions, Connection, postgres::PgConnectOptions};
use tokio::{sync::Mutex, time::timeout};

/// A database that answers does so within this.
const PATIENCE: Duration = Duration::from_secs(3);
/// So long an answer counts for others, too.
const FRESH: Duration = Duration::from_secs(2);

/// Asks one question at a time, for all who wonder. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Pulse(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    connect: PgConnectOptions,
    /// When it was asked last, and whether it answered.
    last: Mutex<Option<(Instant, bool)>>,
}

impl Pulse {
    /// Of the database that `connect` leads to.
    pub fn new(connect: PgConnectOptions) -> Self {
        Self(Arc::new(Inner { connect, last: Mutex::new(None) }))
    }

    /// Whether the database answers now.
    pub async fn beats(&self) -> bool {
        let asked = Instant::now();
        let mut last = self.0.last.lock().await;
        if let Some((at, beats)) = *last
            && (at >= asked || beats && at.elapsed() < FRESH)
        {
            return beats;
        }
        let beats = matches!(timeout(PATIENCE, self.ask()).await, Ok(Ok(())));
        *last = Some((Instant::now(), beats));
        beats
    }

    async fn ask(&self) -> sqlx::Result<()> {
        self.0.connect.connect().await?.close().await
    }
}
