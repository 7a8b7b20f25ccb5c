//! Structured lines on standard error, for people or for machines.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::{
    filter::{LevelFilter, Targets},
    fmt,
    layer::SubscriberExt,
    util::{SubscriberInitExt, TryInitError},
};

use crate::config::{Log, LogFormat};

/// Starts the log, and sends panics to it. To be called once.
///
/// # Errors
/// It was called twice.
pub(super) fn start_logging(log: &Log) -> Result<(), TryInitError> {
    // The configuration has checked the text.
    let level: Targets = log.level.parse().unwrap_or_else(|_| Targets::new().with_default(LevelFilter::INFO));
    // PostgreSQL's notices are about nothing ("already exists, skipping"), unless somebody wants them.
    let quiet = !log.level.contains("sqlx");
    let level = if quiet { level.with_target("sqlx::postgres::notice", LevelFilter::WARN) } else { level };
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
    Ok(())
}
