//! Commits by a process that is no node: the command line.

use sqlx::PgPool;

use super::{Writes, Written, follow::CHANNEL};
use crate::{
    clock::now_ms,
    storage::{self, commit},
};

/// Commits `writes` in one call and tells all nodes, which act on it at once.
///
/// # Errors
/// The database's own.
pub async fn outside(pool: &PgPool, writes: Writes) -> storage::Result<Written> {
    // A fresh number names this process among the writers; its one batch has the number 1.
    let writer = storage::slice::number_block(pool).await?;
    let mut conn = pool.acquire().await?;
    let answer = commit::call(&mut conn, writer, 1, now_ms(), &writes.into()).await?;
    storage::slice::notify(&mut conn, CHANNEL).await?;
    Ok(Written { pos: answer.last, changed: answer.changed })
}
