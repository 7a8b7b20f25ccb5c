//! Structured lines on standard error, for people or for machines; how many is set by each node's configuration, or for
//! all nodes at once while they run.

use std::{
    io::{IsTerminal, stderr},
    sync::Arc,
};

use sqlx::PgPool;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::{
    Registry,
    filter::{LevelFilter, Targets},
    fmt,
    layer::SubscriberExt,
    reload::{self, Handle},
    util::{SubscriberInitExt, TryInitError},
};

use crate::{
    config::{Log, LogFormat},
    log::{Apply, Notice, Slice},
    storage::server,
};

/// Sets how much is logged while the node runs.
#[derive(Clone)]
pub(super) struct Level {
    handle: Handle<Targets, Registry>,
    configured: String,
}

/// Starts the log, and sends panics to it. To be called once.
///
/// # Errors
/// It was called twice.
pub(super) fn start_logging(log: &Log) -> Result<Level, TryInitError> {
    let (level, handle) = reload::Layer::new(targets(&log.level));
    let registry = tracing_subscriber::registry().with(level);
    match log.format {
        LogFormat::Text => {
            registry.with(fmt::layer().with_writer(stderr).with_ansi(stderr().is_terminal())).try_init()?;
        }
        LogFormat::Json => {
            let json = fmt::layer().json().with_current_span(true).with_span_list(false).flatten_event(true);
            registry.with(json.with_writer(stderr)).try_init()?;
        }
    }
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        let message = panic.payload_as_str().unwrap_or("no message");
        tracing::error!(place, message, "a part of the server panicked: this is a bug");
    }));
    Ok(Level { handle, configured: log.level.clone() })
}

/// The configuration and the command line have checked the text.
fn targets(text: &str) -> Targets {
    let level: Targets = text.parse().unwrap_or_else(|_| Targets::new().with_default(LevelFilter::INFO));
    // PostgreSQL's notices are about nothing ("already exists, skipping"), and the bell says itself how NATS is, unless
    // somebody wants to hear it from them.
    let quiet = [("sqlx", "sqlx::postgres::notice", LevelFilter::WARN), ("async_nats", "async_nats", LevelFilter::OFF)];
    let unasked = quiet.into_iter().filter(|(word, ..)| !text.contains(word));
    unasked.fold(level, |level, (_, target, most)| level.with_target(target, most))
}

impl Level {
    /// Follows `roost log` until `shutdown`: what stands in the database at the start, and each change.
    pub async fn follow(self, pool: PgPool, changed: Arc<SettingsChanged>, shutdown: CancellationToken) {
        let mut current: Option<String> = None;
        loop {
            match server::log_level(&pool).await {
                Ok(wanted) if wanted != current => {
                    let text = wanted.as_deref().unwrap_or(&self.configured);
                    tracing::warn!(level = text, "the log's level was set for all nodes");
                    if let Err(error) = self.handle.reload(targets(text)) {
                        tracing::warn!(%error, "the log's level can't be changed");
                    }
                    current = wanted;
                }
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "can't read the log's level"),
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = changed.0.notified() => {}
            }
        }
    }
}

/// Wakes whoever follows what operators set.
#[derive(Default)]
pub(super) struct SettingsChanged(Notify);

impl Apply for SettingsChanged {
    fn apply(&self, slice: &Slice, _own: bool) {
        if slice.notices.contains(&Notice::Settings) {
            self.0.notify_one();
        }
    }
}
