//! What deleted devices and deactivated users leave behind: out of sight already, and cleared in small pieces.

use sqlx::PgPool;

use super::Result;

/// So many rows of a table go in one statement.
const PIECE: i64 = 1000;

/// What hangs on a device's number.
const OF_DEVICE: &[&str] = &["to_device", "one_time_key", "claimed_key", "fallback_key", "to_device_txn", "txn"];

/// Clears one piece. `false`: there is nothing to clear, or other nodes are at it.
pub async fn clear(pool: &PgPool) -> Result<bool> {
    let mut transaction = pool.begin().await?;
    let next = "select kind, nr from remains limit 1 for update skip locked";
    let Some((kind, nr)) = sqlx::query_as::<_, (i16, i64)>(next).fetch_optional(&mut *transaction).await? else {
        return Ok(false);
    };
    let (tables, column): (&[&str], _) = match kind {
        1 => (OF_DEVICE, "device"),
        2 => (&["key_backup_session"], "usr"),
        _ => (&["account_data", "filter"], "usr"),
    };
    let mut is_cleared = true;
    for table in tables {
        let sql = format!(
            "delete from {table} where ctid = any(array(select ctid from {table} where {column} = $1 limit $2))"
        );
        let done = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(nr).bind(PIECE).execute(&mut *transaction).await?;
        is_cleared &= done.rows_affected() < PIECE.unsigned_abs();
    }
    if is_cleared {
        let done = "delete from remains where kind = $1 and nr = $2";
        sqlx::query(done).bind(kind).bind(nr).execute(&mut *transaction).await?;
    }
    transaction.commit().await?;
    Ok(true)
}
