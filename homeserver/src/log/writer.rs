//! Who commits: a node's log, or a process that is no node.

use sqlx::PgPool;

use super::{Error, Log, Writes, Written, outside};
use crate::storage;

/// Lets domain rooms serve both a node and the command line.
#[derive(Clone)]
pub enum Writer {
    /// Joins the node's next group commit.
    Node(Log),
    /// Commits by itself and tells the nodes.
    Outside(PgPool),
}

impl Writer {
    /// Commits what needs no room's head.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn write(&self, writes: Writes) -> Result<Written, Error> {
        match self {
            Self::Node(log) => log.change(writes).await,
            Self::Outside(pool) => outside(pool, writes).await.map_err(|error| match error {
                storage::Error::Unavailable(_) => Error::Unavailable,
                other => Error::Refused(other.to_string().into()),
            }),
        }
    }
}
