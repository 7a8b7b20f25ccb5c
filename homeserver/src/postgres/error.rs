//! Why the private cluster can't run, in words that say what to do.

use std::{io, path::PathBuf};

/// Why the private cluster can't run.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// Another server holds the lock.
    #[error("another Roost already runs on {}; stop it first, or choose another --data-dir", .0.display())]
    Locked(PathBuf),
    /// Root started us, in a folder of root's, and there is no account for PostgreSQL.
    #[error("PostgreSQL doesn't run as root and there is no user `postgres`: install the package postgresql")]
    NoAccount,
    /// The cluster's user can't reach the folder.
    #[error(
        "user `{user}` can't enter {}: allow it with `chmod o+x {}`, or choose another --data-dir",
        .folder.display(), .folder.display()
    )]
    Unreachable {
        /// Who runs PostgreSQL.
        user: String,
        /// The first folder on the way that is closed.
        folder: PathBuf,
    },
    /// No usable PostgreSQL at all.
    #[error("PostgreSQL 15 or newer is not installed: install the package postgresql, or set database.url")]
    NotInstalled,
    /// No `pg_dump` that could read the server.
    #[error("pg_dump and pg_restore of PostgreSQL {0} are not installed: install the package postgresql-client-{0}")]
    ToolsMissing(u32),
    /// The cluster's own version is missing.
    #[error("{} was made by PostgreSQL {version}, which is not installed: install the package postgresql-{version}", .folder.display())]
    VersionMissing {
        /// The cluster's folder.
        folder: PathBuf,
        /// Its major version.
        version: u32,
    },
    /// A folder is there, a cluster is not.
    #[error(
        "{} exists but holds no PostgreSQL cluster (no PG_VERSION). Is a disk not mounted? Nothing is initialised over an \
         existing folder: remove it, or choose another --data-dir",
        .0.display()
    )]
    NotACluster(PathBuf),
    /// The cluster's folder is someone else's.
    #[error("{} belongs to user number {owner}, but PostgreSQL would run as `{user}`", .folder.display())]
    ForeignOwner {
        /// The folder.
        folder: PathBuf,
        /// Who owns it.
        owner: u32,
        /// Who should.
        user: String,
    },
    /// A file operation failed.
    #[error("{what} {}: {source}", .path.display())]
    Io {
        /// What was tried, like "can't create".
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// `initdb` failed.
    #[error("initdb failed: {0}")]
    Initdb(String),
    /// The server stopped while starting.
    #[error("PostgreSQL did not start; {} ends with:\n{tail}", .log.display())]
    DidNotStart {
        /// Its log.
        log: PathBuf,
        /// The log's last lines.
        tail: String,
    },
    /// The server neither answers nor stops.
    #[error("PostgreSQL does not answer on {}; see {}", .socket.display(), .log.display())]
    Silent {
        /// The socket's folder.
        socket: PathBuf,
        /// Its log.
        log: PathBuf,
    },
}

impl ClusterError {
    pub(super) fn io(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { what, path, source }
    }
}
