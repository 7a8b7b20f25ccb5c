//! Why a node does not start.

use std::{io, net::SocketAddr, path::PathBuf};

use crate::{
    bell::Refusal,
    http::TlsError,
    keys::IdentityError,
    media::FolderError,
    storage::{self, OpenError},
};

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
    /// The database.
    #[error(transparent)]
    Database(#[from] OpenError),
    /// The server's name or signing key.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The folder for media.
    #[error("can't use the media folder {}: {source}", .folder.display())]
    Media {
        /// From the configuration.
        folder: PathBuf,
        /// Why not.
        source: FolderError,
    },
    /// A query at the start failed.
    #[error(transparent)]
    Storage(#[from] storage::Error),
    /// NATS, as it is configured.
    #[error("NATS: {0}")]
    Bell(#[from] Refusal),
    /// The operating system refused threads or signals.
    #[error("can't run here: {0}")]
    System(#[from] io::Error),
    /// The log was started before.
    #[error("can't start the log: {0}")]
    Logging(#[from] tracing_subscriber::util::TryInitError),
}
