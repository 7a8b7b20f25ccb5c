//! Why a node does not start.

use std::{io, net::SocketAddr};

use crate::{postgres::ClusterError, storage};

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A socket can't be opened.
    #[error("can't listen on {address}: {source}")]
    Listen {
        /// From the configuration.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// The private cluster.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// `database.url` can't be parsed.
    #[error("`database.url` is not a database address: {0}")]
    DatabaseUrl(sqlx::Error),
    /// The database does not answer.
    #[error("the database does not answer: {0}")]
    NoDatabase(sqlx::Error),
    /// The schema can't be brought up to date.
    #[error("can't prepare the database's schema: {0}")]
    Schema(#[from] sqlx::migrate::MigrateError),
    /// A query at the start failed.
    #[error(transparent)]
    Storage(#[from] storage::Error),
    /// `nats.url` can't be parsed.
    #[error("`nats.url` is not usable: {0}")]
    Bell(#[from] async_nats::ConnectError),
    /// Signals can't be received.
    #[error("can't receive signals: {0}")]
    Signals(io::Error),
}
