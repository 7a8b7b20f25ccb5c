//! Devices of this server's users. Made, named and deleted through the log: see `user_change`.

use sqlx::{FromRow, PgPool};

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

/// Whether a device's user is locked. `None`: the device is logged out, or its account ended.
pub async fn is_locked(pool: &PgPool, device: DeviceNr) -> Result<Option<bool>> {
    let sql = "select a.locked from device d join account a on a.usr = d.usr where d.nr = $1 and not a.deactivated";
    Ok(sqlx::query_scalar(sql).bind(device).fetch_optional(pool).await?)
}

/// The numbers of many users' devices, with their IDs.
pub async fn of_users(pool: &PgPool, users: &[UserNr]) -> Result<Vec<(UserNr, String, DeviceNr)>> {
    let sql = "select usr, device_id, nr from device where usr = any($1)";
    Ok(sqlx::query_as(sql).bind(users).fetch_all(pool).await?)
}

/// Notes when and from where devices were last seen.
pub async fn seen(pool: &PgPool, seen: &[(DeviceNr, i64, String)]) -> Result<()> {
    let (mut devices, mut times, mut addresses) = (Vec::new(), Vec::new(), Vec::new());
    for (device, ts, ip) in seen {
        devices.push(*device);
        times.push(*ts);
        addresses.push(ip.as_str());
    }
    // Never waits for a commit that is changing one of the devices, which may wait for another of them.
    let sql = "with u as (select d.nr, u.ts, u.ip from unnest($1::bigint[], $2::bigint[], $3::text[]) as u (nr, ts, ip) \
                            join device d on d.nr = u.nr for no key update of d skip locked) \
               update device d set last_seen_ts = u.ts, last_seen_ip = u.ip from u \
               where d.nr = u.nr and coalesce(d.last_seen_ts, 0) < u.ts";
    sqlx::query(sql).bind(devices).bind(times).bind(addresses).execute(pool).await?;
    Ok(())
}
