//! Device keys, cross-signing keys and the signatures that were added to them. Written through the log: see `user_change`.

use serde::Serialize;
use sqlx::{FromRow, PgPool};

use super::{Result, UserNr};

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
#[derive(Debug, Clone, FromRow, Serialize)]
pub struct KeySignature {
    #[sqlx(rename = "usr")]
    #[serde(rename = "usr")]
    pub user: UserNr,
    pub target: String,
    #[serde(skip)]
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

/// The cross-signing keys of `users`.
pub async fn cross_signing(pool: &PgPool, users: &[UserNr]) -> Result<Vec<CrossSigningKey>> {
    let sql = "select usr, usage, json from cross_signing_key where usr = any($1)";
    Ok(sqlx::query_as(sql).bind(users).fetch_all(pool).await?)
}

/// The signatures of `users`, over their own keys and those of others. What others made over theirs is nobody's business.
pub async fn signatures(pool: &PgPool, users: &[UserNr]) -> Result<Vec<KeySignature>> {
    let sql = "select usr, target, signer, key_id, signature from key_signature where signer = any($1)";
    Ok(sqlx::query_as(sql).bind(users).fetch_all(pool).await?)
}
