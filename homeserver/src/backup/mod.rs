//! Everything that a server is, in one file: a tar archive of the database's dump and the media folder.
//!
//! The dump is `pg_dump`'s, of one snapshot, while the server goes on. Files are copied after the snapshot was taken: a
//! medium's file is older than its row, so that each row of the dump finds its file in the archive; what is lost is named. The
//! signing key stands in the database.
//!
//! **Invariant:** a restore writes only where nothing is, and a file that is not whole is never taken for a backup.

mod archive;
mod error;
mod restore;
mod write;

pub use self::{
    error::BackupError,
    restore::restore,
    write::{Written, write},
};

/// What stands first in the archive.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct Manifest {
    /// The archive's own form.
    pub format: u32,
    /// `server_name`
    pub server_name: String,
    /// Of the Roost that wrote it.
    pub version: String,
    /// The newest migration of the database.
    pub schema: i64,
    /// The oldest schema that a Roost must know to use it.
    pub schema_floor: i64,
    /// PostgreSQL's major version.
    pub postgresql: u32,
    /// In milliseconds since 1970.
    pub created_ts: i64,
    /// Whether the signing key can be read only with `secrets.key_file`, which is not in the archive.
    pub sealed: bool,
}

/// The form that this program writes, and the newest that it reads.
const FORMAT: u32 = 1;
/// Names in the archive.
const MANIFEST: &str = "roost.json";
const DUMP: &str = "database.dump";
const MEDIA: &str = "media";
/// The last entry: without it the file was cut off.
const COMPLETE: &str = "complete";
