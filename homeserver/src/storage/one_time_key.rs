//! One-time keys and fallback keys.

use serde::Deserialize;
use sqlx::{FromRow, PgConnection, PgPool};

use super::{DeviceNr, Result, UserNr};

/// A key as a device uploaded it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct NewKey {
    pub algorithm: String,
    pub key_id: String,
    pub json: String,
}

/// A key to claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct WantedKey<'a> {
    pub user: UserNr,
    pub device_id: &'a str,
    pub algorithm: &'a str,
}

/// A claimed key.
#[derive(Debug, FromRow)]
pub struct Claimed {
    #[sqlx(rename = "usr")]
    pub user: UserNr,
    pub device_id: String,
    pub device: DeviceNr,
    pub algorithm: String,
    pub key_id: String,
    pub json: String,
}

/// How long a claimed key's name stays taken, in milliseconds: no client repeats an upload after 30 days.
const REMEMBERED_MS: i64 = 30 * 24 * 3600 * 1000;

/// What a device uploads at once.
#[derive(Debug, Clone, Copy)]
pub struct Upload<'a> {
    pub user: UserNr,
    pub device: DeviceNr,
    pub device_id: &'a str,
    pub one_time: &'a [NewKey],
    pub fallback: &'a [NewKey],
    /// How many one-time keys that nobody claimed a device may have.
    pub most: i64,
    pub now: i64,
}

/// What became of an upload.
#[derive(Debug)]
pub enum Uploaded {
    /// It is stored; this is what the device has now, as [`counts`] says it.
    Stored(Vec<(String, Option<i64>)>),
    /// Nothing of it is stored: this key is there already with other bytes. A claimed one's text is `null`.
    Exists(NewKey),
    /// Nothing of it is stored: the device would have more than it may.
    TooMany,
}

/// The SQLSTATEs with which the function says that a one-time key is there already, and that it would be one too many.
const EXISTS: &str = "RK001";
const TOO_MANY: &str = "RK002";

/// Stores an upload, all or nothing, in one commit.
pub async fn upload(pool: &PgPool, upload: Upload<'_>) -> Result<Uploaded> {
    if upload.one_time.is_empty() && upload.fallback.is_empty() {
        return counts(pool, upload.device).await.map(Uploaded::Stored);
    }
    let sql = "select algorithm, unclaimed from upload_keys_v2($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
    let (algorithms, ids, texts) = texts(upload.one_time);
    let (fallback_algorithms, fallback_ids, fallback_texts) = self::texts(upload.fallback);
    let stored = sqlx::query_as(sql)
        .bind(upload.user)
        .bind(upload.device)
        .bind(upload.device_id)
        .bind(algorithms)
        .bind(ids)
        .bind(texts)
        .bind(fallback_algorithms)
        .bind(fallback_ids)
        .bind(fallback_texts)
        .bind(upload.now - REMEMBERED_MS)
        .bind(upload.most)
        .fetch_all(pool)
        .await;
    match stored {
        Ok(counts) => Ok(Uploaded::Stored(counts)),
        Err(error) if error.as_database_error().is_some_and(|it| it.code().as_deref() == Some(TOO_MANY)) => {
            Ok(Uploaded::TooMany)
        }
        Err(error) => existing(&error).map(Uploaded::Exists).ok_or_else(|| error.into()),
    }
}

/// The key that an upload met, out of the function's error.
fn existing(error: &sqlx::Error) -> Option<NewKey> {
    let error = error.as_database_error().filter(|error| error.code().as_deref() == Some(EXISTS))?;
    let detail = error.try_downcast_ref::<sqlx::postgres::PgDatabaseError>()?.detail()?;
    serde_json::from_str(detail).ok()
}

fn texts(keys: &[NewKey]) -> (Vec<&str>, Vec<&str>, Vec<&str>) {
    let texts = |of: fn(&NewKey) -> &str| keys.iter().map(of).collect::<Vec<_>>();
    (texts(|key| &key.algorithm), texts(|key| &key.key_id), texts(|key| &key.json))
}

/// How many unclaimed keys a device has, by algorithm; and, without a count, the algorithms for which it has a fallback key
/// that nobody was given yet.
pub async fn counts(pool: &PgPool, device: DeviceNr) -> Result<Vec<(String, Option<i64>)>> {
    let sql = "select algorithm, count(*) from one_time_key where device = $1 and claimed_ts is null group by algorithm
               union all select algorithm, null from fallback_key where device = $1 and not used order by 1";
    Ok(sqlx::query_as(sql).bind(device).fetch_all(pool).await?)
}

/// Claims the oldest key for each device and algorithm. Two claims at once never get the same key.
pub async fn claim(pool: &PgPool, wanted: &[WantedKey<'_>], now: i64) -> Result<Vec<Claimed>> {
    let sql = "select usr, device_id, device, algorithm, key_id, json from claim_keys_v1($1, $2, $3, $4)";
    let (users, devices, algorithms) = columns(wanted);
    Ok(sqlx::query_as(sql).bind(users).bind(devices).bind(algorithms).bind(now).fetch_all(pool).await?)
}

/// The fallback keys for each device and algorithm, which are used from then on.
pub async fn claim_fallback(pool: &PgPool, wanted: &[WantedKey<'_>]) -> Result<Vec<Claimed>> {
    // Most are used already: reading writes nothing.
    let read = "select d.usr, d.device_id, f.device, f.algorithm, f.key_id, f.json
                  from unnest($1::integer[], $2::text[], $3::text[]) as w (usr, device_id, algorithm)
                  join device d on d.usr = w.usr and d.device_id = w.device_id
                  join fallback_key f on f.device = d.nr and f.algorithm = w.algorithm";
    let mark = "update fallback_key f set used = true from unnest($1::bigint[], $2::text[]) as w (device, algorithm)
                 where f.device = w.device and f.algorithm = w.algorithm and not f.used";
    let (users, devices, algorithms) = columns(wanted);
    let found: Vec<Claimed> = sqlx::query_as(read).bind(users).bind(devices).bind(algorithms).fetch_all(pool).await?;
    if !found.is_empty() {
        let devices: Vec<DeviceNr> = found.iter().map(|key| key.device).collect();
        let algorithms: Vec<&str> = found.iter().map(|key| &*key.algorithm).collect();
        sqlx::query(mark).bind(devices).bind(algorithms).execute(pool).await?;
    }
    Ok(found)
}

fn columns<'a>(wanted: &[WantedKey<'a>]) -> (Vec<UserNr>, Vec<&'a str>, Vec<&'a str>) {
    let devices = wanted.iter().map(|key| key.device_id).collect();
    (wanted.iter().map(|key| key.user).collect(), devices, wanted.iter().map(|key| key.algorithm).collect())
}

/// Drops the names of keys that were given out so long ago that nobody uploads them again.
pub async fn sweep(conn: &mut PgConnection, now: i64) -> Result<()> {
    sqlx::query("delete from claimed_key where ts < $1").bind(now - REMEMBERED_MS).execute(conn).await?;
    Ok(())
}
