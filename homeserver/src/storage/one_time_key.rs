//! One-time keys and fallback keys.

use sqlx::{FromRow, PgConnection, PgPool};

use super::{DeviceNr, Result};

/// A key as a device uploaded it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewKey {
    pub algorithm: String,
    pub key_id: String,
    pub json: String,
}

/// A claimed key.
#[derive(Debug, FromRow)]
pub struct Claimed {
    pub device: DeviceNr,
    pub algorithm: String,
    pub key_id: String,
    pub json: String,
}

/// How long a claimed key's name stays taken, in milliseconds: no client repeats an upload after 30 days.
const REMEMBERED_MS: i64 = 30 * 24 * 3600 * 1000;

/// Stores new keys. Returns a key that is there already with other bytes, claimed or not: then nothing may be kept of the
/// upload, and the caller rolls back.
pub async fn put(conn: &mut PgConnection, device: DeviceNr, keys: &[NewKey], now: i64) -> Result<Option<NewKey>> {
    let forget = "delete from one_time_key where device = $1 and claimed_ts < $2";
    sqlx::query(forget).bind(device).bind(now - REMEMBERED_MS).execute(&mut *conn).await?;
    let algorithms: Vec<&str> = keys.iter().map(|k| &*k.algorithm).collect();
    let ids: Vec<&str> = keys.iter().map(|k| &*k.key_id).collect();
    let texts: Vec<&str> = keys.iter().map(|k| &*k.json).collect();
    let insert = "insert into one_time_key (device, algorithm, key_id, json)
                  select $1, u.* from unnest($2::text[], $3::text[], $4::text[]) as u order by 2, 3
                  on conflict (device, algorithm, key_id) do nothing";
    let stored = sqlx::query(insert).bind(device).bind(&algorithms).bind(&ids).bind(&texts).execute(&mut *conn).await?;
    if stored.rows_affected() == keys.len() as u64 {
        return Ok(None);
    }
    let conflict = "select k.algorithm, k.key_id, k.json
                      from one_time_key k join unnest($2::text[], $3::text[], $4::text[]) as u (algorithm, key_id, json)
                        on k.algorithm = u.algorithm and k.key_id = u.key_id
                     where k.device = $1 and k.json <> u.json limit 1";
    let row: Option<(String, String, String)> =
        sqlx::query_as(conflict).bind(device).bind(&algorithms).bind(&ids).bind(&texts).fetch_optional(conn).await?;
    Ok(row.map(|(algorithm, key_id, json)| NewKey { algorithm, key_id, json }))
}

/// Stores fallback keys: one an algorithm, unused again where it is a new one.
pub async fn put_fallback(conn: &mut PgConnection, device: DeviceNr, keys: &[NewKey]) -> Result<()> {
    let sql = "insert into fallback_key as f (device, algorithm, key_id, json)
               select $1, u.* from unnest($2::text[], $3::text[], $4::text[]) as u
               on conflict (device, algorithm) do update
                  set key_id = excluded.key_id, json = excluded.json, used = false where f.json <> excluded.json";
    sqlx::query(sql)
        .bind(device)
        .bind(keys.iter().map(|k| &*k.algorithm).collect::<Vec<_>>())
        .bind(keys.iter().map(|k| &*k.key_id).collect::<Vec<_>>())
        .bind(keys.iter().map(|k| &*k.json).collect::<Vec<_>>())
        .execute(conn)
        .await?;
    Ok(())
}

/// How many unclaimed keys a device has, by algorithm; and, without a count, the algorithms for which it has a fallback key
/// that nobody was given yet.
pub async fn counts(conn: &mut PgConnection, device: DeviceNr) -> Result<Vec<(String, Option<i64>)>> {
    let sql = "select algorithm, count(*) from one_time_key where device = $1 and claimed_ts is null group by algorithm
               union all select algorithm, null from fallback_key where device = $1 and not used order by 1";
    Ok(sqlx::query_as(sql).bind(device).fetch_all(conn).await?)
}

/// Claims the oldest key for each (device, algorithm). Two claims at once never get the same key.
pub async fn claim(pool: &PgPool, wanted: &[(DeviceNr, &str)], now: i64) -> Result<Vec<Claimed>> {
    let sql = "with picked as (
                   select k.nr from unnest($1::bigint[], $2::text[]) as w (device, algorithm)
                    cross join lateral (select o.nr from one_time_key o
                                         where o.device = w.device and o.algorithm = w.algorithm and o.claimed_ts is null
                                         order by o.nr limit 1 for update skip locked) k)
               update one_time_key o set claimed_ts = $3 from picked p where o.nr = p.nr
               returning o.device, o.algorithm, o.key_id, o.json";
    let (devices, algorithms) = columns(wanted);
    Ok(sqlx::query_as(sql).bind(devices).bind(algorithms).bind(now).fetch_all(pool).await?)
}

/// The fallback keys for each (device, algorithm), which are used from then on.
pub async fn claim_fallback(pool: &PgPool, wanted: &[(DeviceNr, &str)]) -> Result<Vec<Claimed>> {
    let (devices, algorithms) = columns(wanted);
    let mark = "update fallback_key f set used = true from unnest($1::bigint[], $2::text[]) as w (device, algorithm)
                 where f.device = w.device and f.algorithm = w.algorithm and not f.used";
    let read = "select f.device, f.algorithm, f.key_id, f.json
                  from fallback_key f join unnest($1::bigint[], $2::text[]) as w (device, algorithm)
                    on f.device = w.device and f.algorithm = w.algorithm";
    let found: Vec<Claimed> = sqlx::query_as(read).bind(&devices).bind(&algorithms).fetch_all(pool).await?;
    if !found.is_empty() {
        sqlx::query(mark).bind(devices).bind(algorithms).execute(pool).await?;
    }
    Ok(found)
}

fn columns<'a>(wanted: &[(DeviceNr, &'a str)]) -> (Vec<DeviceNr>, Vec<&'a str>) {
    wanted.iter().copied().unzip()
}
