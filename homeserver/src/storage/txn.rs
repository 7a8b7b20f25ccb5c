//! Idempotency keys of sends.

use sqlx::PgPool;

use super::{Result, commit::TxnKey};

/// The event that the transaction created.
pub async fn find(pool: &PgPool, key: &TxnKey) -> Result<Option<String>> {
    let sql = "select event_id from txn where device = $1 and key = $2";
    Ok(sqlx::query_scalar(sql).bind(key.device).bind(key.key.as_slice()).fetch_optional(pool).await?)
}
