//! Devices of this server's users.

use sqlx::{FromRow, PgConnection, PgPool};

use super::{DeviceNr, Result, UserNr};

/// A device.
#[derive(Debug, Clone, FromRow)]
pub struct Device {
    pub nr: DeviceNr,
    pub device_id: String,
    pub display_name: Option<String>,
    pub last_seen_ts: Option<i64>,
    pub last_seen_ip: Option<String>,
}

/// A user's devices, oldest first.
pub async fn list(pool: &PgPool, usr: UserNr) -> Result<Vec<Device>> {
    let sql = "select nr, device_id, display_name, last_seen_ts, last_seen_ip from device where usr = $1 order by nr";
    Ok(sqlx::query_as(sql).bind(usr).fetch_all(pool).await?)
}

/// One device of a user.
pub async fn find(pool: &PgPool, usr: UserNr, device_id: &str) -> Result<Option<Device>> {
    let sql = "select nr, device_id, display_name, last_seen_ts, last_seen_ip from device \
               where usr = $1 and device_id = $2";
    Ok(sqlx::query_as(sql).bind(usr).bind(device_id).fetch_optional(pool).await?)
}

/// The numbers of many users' devices, with their IDs.
pub async fn of_users(pool: &PgPool, users: &[UserNr]) -> Result<Vec<(UserNr, String, DeviceNr)>> {
    let sql = "select usr, device_id, nr from device where usr = any($1)";
    Ok(sqlx::query_as(sql).bind(users).fetch_all(pool).await?)
}

/// Names a device. `false`: there is no such device.
pub async fn rename(pool: &PgPool, usr: UserNr, device_id: &str, display_name: Option<&str>) -> Result<bool> {
    let sql = "update device set display_name = $3 where usr = $1 and device_id = $2";
    let done = sqlx::query(sql).bind(usr).bind(device_id).bind(display_name).execute(pool).await?;
    Ok(done.rows_affected() == 1)
}

/// Deletes the devices named, or all but `keep` where none are, with their tokens, keys and queued messages. Returns
/// how many there were.
async fn delete(
    conn: &mut PgConnection,
    usr: UserNr,
    named: Option<&[String]>,
    keep: Option<DeviceNr>,
) -> Result<usize> {
    let sql = "with gone as (delete from device where usr = $1 and nr is distinct from $3 \
                             and ($2::text[] is null or device_id = any($2)) returning nr, device_id), \
                    t as (delete from token where device in (select nr from gone)), \
                    r as (delete from refresh_token where device in (select nr from gone)), \
                    p as (delete from pusher where device in (select nr from gone)) \
               select nr, device_id from gone";
    let gone: Vec<(DeviceNr, String)> =
        sqlx::query_as(sql).bind(usr).bind(named).bind(keep).fetch_all(&mut *conn).await?;
    if !gone.is_empty() {
        super::device_key::purge(conn, usr, &gone).await?;
    }
    Ok(gone.len())
}

/// Deletes devices with all that belongs to them and returns how many there were. Those that are not there are passed over.
pub async fn delete_named(pool: &PgPool, usr: UserNr, device_ids: &[String]) -> Result<usize> {
    let mut transaction = pool.begin().await?;
    let gone = delete(&mut transaction, usr, Some(device_ids), None).await?;
    transaction.commit().await?;
    Ok(gone)
}

/// Deletes all devices of a user but `keep`, with all that belongs to them, and returns how many there were.
pub async fn delete_others(pool: &PgPool, usr: UserNr, keep: Option<DeviceNr>) -> Result<usize> {
    let mut transaction = pool.begin().await?;
    let gone = delete(&mut transaction, usr, None, keep).await?;
    transaction.commit().await?;
    Ok(gone)
}

/// As [`delete_others`] of all devices, within a transaction.
pub(super) async fn delete_all(conn: &mut PgConnection, usr: UserNr) -> Result<usize> {
    delete(conn, usr, None, None).await
}

/// Notes when and from where devices were last seen.
pub async fn seen(pool: &PgPool, seen: &[(DeviceNr, i64, String)]) -> Result<()> {
    let (mut devices, mut times, mut addresses) = (Vec::new(), Vec::new(), Vec::new());
    for (device, ts, ip) in seen {
        devices.push(*device);
        times.push(*ts);
        addresses.push(ip.as_str());
    }
    let sql = "update device d set last_seen_ts = u.ts, last_seen_ip = u.ip \
               from unnest($1::bigint[], $2::bigint[], $3::text[]) as u (nr, ts, ip) \
               where d.nr = u.nr and coalesce(d.last_seen_ts, 0) < u.ts";
    sqlx::query(sql).bind(devices).bind(times).bind(addresses).execute(pool).await?;
    Ok(())
}
