//! Idempotency keys of sends.

use sqlx::{PgConnection, PgPool};

use super::{Result, commit::TxnKey};

/// The event that the transaction created.
pub async fn find(pool: &PgPool, key: &TxnKey) -> Result<Option<String>> {
    let sql = "select event_id from txn where device = $1 and key = $2";
    Ok(sqlx::query_scalar(sql).bind(key.device).bind(key.key.as_slice()).fetch_optional(pool).await?)
}

/// Drops the keys of requests before `before`, of sends and of messages to devices, in one statement.
pub async fn sweep(conn: &mut PgConnection, before: i64) -> Result<()> {
    let sql = "with sent as (delete from txn where at < $1) delete from to_device_txn where at < $1";
    sqlx::query(sql).bind(before).execute(conn).await?;
    Ok(())
}
