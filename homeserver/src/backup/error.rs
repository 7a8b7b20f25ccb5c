//! Why a backup can't be written or restored, in words that say what to do.

use std::{io, path::PathBuf, process::ExitStatus};

use crate::{
    postgres::ClusterError,
    storage::{self, OpenError},
};

/// Why a backup can't be written or restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// Nothing is written over.
    #[error("{} is there already: choose another name, or remove it first", .0.display())]
    FileExists(PathBuf),
    /// A file operation failed.
    #[error("{what} {}: {source}", .path.display())]
    Io {
        /// What was tried, like "can't write".
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// `pg_dump` or `pg_restore` said why on standard error.
    #[error("{program} failed ({status}): what it said stands above")]
    Tool {
        /// Which.
        program: &'static str,
        /// How it ended.
        status: ExitStatus,
    },
    /// Not an archive of ours.
    #[error("{} is no backup of Roost", .0.display())]
    NotABackup(PathBuf),
    /// An archive of ours that ends too early.
    #[error("{} is not whole: it was cut off while it was written or copied. {undo}", .file.display())]
    CutOff {
        /// The file.
        file: PathBuf,
        /// What to do with what was restored.
        undo: String,
    },
    /// Written by a newer Roost in a new form.
    #[error(
        "the backup was written by Roost {0}, in a form that this version does not know: use that version or a newer one"
    )]
    NewerForm(String),
    /// The database in it needs a newer Roost.
    #[error(
        "the backup's schema is number {schema} and was written by Roost {version}: use that version or a newer one"
    )]
    NewerSchema {
        /// The newest migration.
        schema: i64,
        /// Who wrote it.
        version: String,
    },
    /// The configuration says another name.
    #[error("the backup is of the server `{stored}`, but `server_name` is `{configured}`: set it to the backup's")]
    OtherServer {
        /// In the backup.
        stored: String,
        /// In the configuration.
        configured: String,
    },
    /// The media folder holds something.
    #[error("{} is not empty: a backup is restored into a new media folder only", .0.display())]
    MediaNotEmpty(PathBuf),
    /// The database.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A query.
    #[error(transparent)]
    Storage(#[from] storage::Error),
    /// PostgreSQL's programs.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
}

impl BackupError {
    pub(super) fn io(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { what, path, source }
    }
}
