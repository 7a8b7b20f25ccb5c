//! To-device messages that wait for their devices.

use sqlx::PgPool;

use super::{DeviceNr, Pos, Result};

/// A message that waits.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Row {
    pub pos: Pos,
    /// The event as sync shows it.
    pub json: String,
}

/// Up to `limit` messages for `device` with `since < pos <= until`, oldest first.
pub async fn after(pool: &PgPool, device: DeviceNr, since: Pos, until: Pos, limit: i64) -> Result<Vec<Row>> {
    let sql = "select pos, json from to_device where device = $1 and pos > $2 and pos <= $3 order by pos limit $4";
    Ok(sqlx::query_as(sql).bind(device).bind(since).bind(until).bind(limit).fetch_all(pool).await?)
}

/// Deletes what `device` has received: everything up to `until`.
pub async fn delete(pool: &PgPool, device: DeviceNr, until: Pos) -> Result<u64> {
    let sql = "delete from to_device where device = $1 and pos <= $2";
    Ok(sqlx::query(sql).bind(device).bind(until).execute(pool).await?.rows_affected())
}

/// Deletes a device's oldest messages beyond the newest `messages`, or beyond those that take `bytes`. Returns how many.
pub async fn trim(pool: &PgPool, device: DeviceNr, messages: i64, bytes: i64) -> Result<u64> {
    let sql = "delete from to_device where device = $1 and pos <= (select pos from (
                   select pos, row_number() over newest as n, sum(octet_length(json)) over newest as taken
                     from to_device where device = $1 window newest as (order by pos desc)) as q
                where n > $2 or taken > $3 order by pos desc limit 1)";
    Ok(sqlx::query(sql).bind(device).bind(messages).bind(bytes).execute(pool).await?.rows_affected())
}
