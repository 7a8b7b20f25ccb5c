//! Idempotency keys of sends.

use sqlx::PgPool;

use super::{Result, commit::TxnKey};

/// The event that the transaction created.
pub async fn find(pool: &PgPool, key: &TxnKey) -> Result<Option<String>> {
    let sql = "select e.id from sent s join event e on e.nr = s.nr where s.key = $1 and e.device = $2";
    Ok(sqlx::query_scalar(sql).bind(key.short()).bind(key.device).fetch_optional(pool).await?)
}

/// Drops the keys of requests before `before`, of sends and of messages to devices: a minute's at a time, so that no
/// statement takes long.
pub async fn sweep(pool: &PgPool, before: i64) -> Result<()> {
    for (oldest, gone) in [
        ("select at::bigint from sent where at < $1 / 60000 limit 1", "delete from sent where at = $1"),
        (
            "select at / 60000 from to_device_txn where at < $1 limit 1",
            "delete from to_device_txn where at >= $1 * 60000 and at < ($1 + 1) * 60000",
        ),
    ] {
        while let Some(minute) = sqlx::query_scalar::<_, i64>(oldest).bind(before).fetch_optional(pool).await? {
            sqlx::query(gone).bind(minute).execute(pool).await?;
        }
    }
    Ok(())
}
