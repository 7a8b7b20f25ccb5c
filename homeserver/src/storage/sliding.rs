//! What sliding-sync connections know of rooms, so that another node can go on with them.

use sqlx::PgPool;

use super::{DeviceNr, Result};

/// A connection's state, and the one from which it was made.
#[derive(Debug, Clone)]
pub struct Kept {
    pub device: DeviceNr,
    pub connection: String,
    pub nr: i64,
    pub state: String,
    pub before: Option<(i64, String)>,
}

/// Keeps states in the place of those before; each connection may be there once.
pub async fn put(pool: &PgPool, kept: &[Kept], now: i64) -> Result<()> {
    let sql = "insert into sliding_connection (device, connection, nr, state, before_nr, before_state, at)
               select t.*, $7
                 from unnest($1::bigint[], $2::text[], $3::bigint[], $4::text[], $5::bigint[], $6::text[]) as t
                order by 1, 2
               on conflict (device, connection) do update
                  set nr = excluded.nr, state = excluded.state, before_nr = excluded.before_nr,
                      before_state = excluded.before_state, at = excluded.at";
    sqlx::query(sql)
        .bind(kept.iter().map(|k| k.device).collect::<Vec<_>>())
        .bind(kept.iter().map(|k| &*k.connection).collect::<Vec<_>>())
        .bind(kept.iter().map(|k| k.nr).collect::<Vec<_>>())
        .bind(kept.iter().map(|k| &*k.state).collect::<Vec<_>>())
        .bind(kept.iter().map(|k| k.before.as_ref().map(|before| before.0)).collect::<Vec<_>>())
        .bind(kept.iter().map(|k| k.before.as_ref().map(|before| &*before.1)).collect::<Vec<_>>())
        .bind(now)
        .execute(pool)
        .await?;
    Ok(())
}

/// The state of a connection that has this number, if it is the newest or the one before.
pub async fn get(pool: &PgPool, device: DeviceNr, connection: &str, nr: i64) -> Result<Option<String>> {
    let sql = "select case when nr = $3 then state else before_state end from sliding_connection
                where device = $1 and connection = $2 and (nr = $3 or before_nr = $3)";
    Ok(sqlx::query_scalar(sql).bind(device).bind(connection).bind(nr).fetch_optional(pool).await?)
}

/// Drops connections whose state was kept before `before`, those of devices that are gone, and of each device all but the
/// newest `most`.
pub async fn sweep(pool: &PgPool, before: i64, most: i64) -> Result<u64> {
    let sql = "delete from sliding_connection c
                using (select device, connection, row_number() over (partition by device order by at desc) as place
                         from sliding_connection) p
                where p.device = c.device and p.connection = c.connection
                  and (c.at < $1 or p.place > $2 or not exists (select from device d where d.nr = c.device))";
    Ok(sqlx::query(sql).bind(before).bind(most).execute(pool).await?.rows_affected())
}
