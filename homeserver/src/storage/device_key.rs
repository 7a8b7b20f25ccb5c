//! Device keys, cross-signing keys and the signatures that were added to them.

use sqlx::{FromRow, PgConnection, PgPool};

use super::{DeviceNr, Result, UserNr};

/// The device keys of one device.
#[derive(Debug, FromRow)]
pub struct DeviceKey {
    #[sqlx(rename = "usr")]
    pub user: UserNr,
    pub device_id: String,
    pub json: String,
    pub display_name: Option<String>,
}

/// One cross-signing key.
#[derive(Debug, FromRow)]
pub struct CrossSigningKey {
    #[sqlx(rename = "usr")]
    pub user: UserNr,
    pub usage: String,
    pub json: String,
}

/// A signature over somebody's key.
#[derive(Debug, Clone, FromRow)]
pub struct KeySignature {
    #[sqlx(rename = "usr")]
    pub user: UserNr,
    pub target: String,
    pub signer: UserNr,
    pub key_id: String,
    pub signature: String,
}

/// All device keys of `users`, with the devices' names.
pub async fn of_users(pool: &PgPool, users: &[UserNr]) -> Result<Vec<DeviceKey>> {
    let sql = "select k.usr, k.device_id, k.json, d.display_name
                 from device_key k join device d on d.usr = k.usr and d.device_id = k.device_id where k.usr = any($1)";
    Ok(sqlx::query_as(sql).bind(users).fetch_all(pool).await?)
}

/// Drops what belongs to deleted devices of `user`: keys, one-time keys, signatures of and over them, queued messages.
pub async fn purge(conn: &mut PgConnection, user: UserNr, devices: &[(DeviceNr, String)]) -> Result<()> {
    let numbers: Vec<DeviceNr> = devices.iter().map(|d| d.0).collect();
    let names: Vec<&str> = devices.iter().map(|d| &*d.1).collect();
    let by_number = [
        "delete from one_time_key where device = any($1)",
        "delete from claimed_key where device = any($1)",
        "delete from fallback_key where device = any($1)",
        "delete from to_device where device = any($1)",
    ];
    for sql in by_number {
        sqlx::query(sql).bind(&numbers).execute(&mut *conn).await?;
    }
    let by_name = [
        "delete from device_key where usr = $1 and device_id = any($2)",
        "delete from key_signature where usr = $1 and target = any($2)",
        "delete from key_signature where signer = $1 and key_id in (select 'ed25519:' || x from unnest($2) x)",
    ];
    for sql in by_name {
        sqlx::query(sql).bind(user).bind(&names).execute(&mut *conn).await?;
    }
    Ok(())
}

/// The cross-signing keys of `users`.
pub async fn cross_signing(pool: &PgPool, users: &[UserNr]) -> Result<Vec<CrossSigningKey>> {
    let sql = "select usr, usage, json from cross_signing_key where usr = any($1)";
    Ok(sqlx::query_as(sql).bind(users).fetch_all(pool).await?)
}

/// Stores cross-signing keys of `user`, one a usage.
pub async fn put_cross_signing(pool: &PgPool, user: UserNr, keys: &[(&str, String)]) -> Result<()> {
    let (usages, texts): (Vec<&str>, Vec<&str>) = keys.iter().map(|(usage, json)| (*usage, json.as_str())).unzip();
    let sql = "insert into cross_signing_key (usr, usage, json) select $1, u.usage, u.json from unnest($2, $3) as u (usage, json)
               on conflict (usr, usage) do update set json = excluded.json";
    sqlx::query(sql).bind(user).bind(usages).bind(texts).execute(pool).await?;
    Ok(())
}

/// The signatures of `users`, over their own keys and those of others. What others made over theirs is nobody's business.
pub async fn signatures(pool: &PgPool, users: &[UserNr]) -> Result<Vec<KeySignature>> {
    let sql = "select usr, target, signer, key_id, signature from key_signature where signer = any($1)";
    Ok(sqlx::query_as(sql).bind(users).fetch_all(pool).await?)
}

/// Stores signatures; a later one of the same key over the same target takes the earlier one's place.
pub async fn put_signatures(pool: &PgPool, signatures: &[KeySignature]) -> Result<()> {
    let sql = "insert into key_signature (usr, target, signer, key_id, signature)
               select * from unnest($1::integer[], $2::text[], $3::integer[], $4::text[], $5::text[])
               on conflict (usr, target, signer, key_id) do update set signature = excluded.signature";
    sqlx::query(sql)
        .bind(signatures.iter().map(|s| s.user).collect::<Vec<_>>())
        .bind(signatures.iter().map(|s| &*s.target).collect::<Vec<_>>())
        .bind(signatures.iter().map(|s| s.signer).collect::<Vec<_>>())
        .bind(signatures.iter().map(|s| &*s.key_id).collect::<Vec<_>>())
        .bind(signatures.iter().map(|s| &*s.signature).collect::<Vec<_>>())
        .execute(pool)
        .await?;
    Ok(())
}
