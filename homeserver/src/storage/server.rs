//! What all nodes of this server share: its name and its signing keys.

use sqlx::{FromRow, PgPool};

use super::Result;

/// A signing key.
#[derive(FromRow)]
pub struct SigningKey {
    pub key_id: String,
    /// 32 bytes, or those sealed.
    pub seed: Vec<u8>,
    pub sealed: bool,
    /// When it was replaced; `None`: it signs.
    pub retired_ts: Option<i64>,
}

/// The server's name; `name` becomes it in a new database.
pub async fn name(pool: &PgPool, name: &str, now: i64) -> Result<String> {
    let insert = "insert into server (name, created_ts) values ($1, $2) on conflict do nothing";
    sqlx::query(insert).bind(name).bind(now).execute(pool).await?;
    Ok(sqlx::query_scalar("select name from server").fetch_one(pool).await?)
}

/// The server's name, if it has one yet.
pub async fn stored_name(pool: &PgPool) -> Result<Option<String>> {
    Ok(sqlx::query_scalar("select name from server").fetch_optional(pool).await?)
}

/// The level of the log that an operator set for all nodes.
pub async fn log_level(pool: &PgPool) -> Result<Option<String>> {
    let sql = "select log_level from server";
    Ok(sqlx::query_scalar(sql).fetch_optional(pool).await?.flatten())
}

/// Sets the level of the log for all nodes; `None`: each has its own again.
pub async fn set_log_level(pool: &PgPool, level: Option<&str>) -> Result<()> {
    let touched = sqlx::query("update server set log_level = $1").bind(level).execute(pool).await?.rows_affected();
    if touched == 1 { Ok(()) } else { Err(super::Error::Inconsistent("the server has no name yet".to_owned())) }
}

/// All signing keys, newest first.
pub async fn signing_keys(pool: &PgPool) -> Result<Vec<SigningKey>> {
    let sql = "select key_id, seed, sealed, retired_ts from signing_key order by retired_ts desc nulls first, created_ts desc";
    Ok(sqlx::query_as(sql).fetch_all(pool).await?)
}

/// Keeps the first signing key. Nothing happens where another node was first.
pub async fn insert_first_key(pool: &PgPool, key_id: &str, seed: &[u8], sealed: bool, now: i64) -> Result<()> {
    let mut transaction = pool.begin().await?;
    // Nodes that start together take turns; the second statement sees what the first node has done.
    sqlx::query("select from server for update").execute(&mut *transaction).await?;
    let sql = "insert into signing_key (key_id, seed, sealed, created_ts) \
               select $1, $2, $3, $4 where not exists (select from signing_key)";
    sqlx::query(sql).bind(key_id).bind(seed).bind(sealed).bind(now).execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(())
}

/// Replaces an open seed by its sealed form; nothing happens where another node did so already.
pub async fn seal_key(pool: &PgPool, key_id: &str, sealed: &[u8]) -> Result<()> {
    let sql = "update signing_key set seed = $2, sealed = true where key_id = $1 and not sealed";
    sqlx::query(sql).bind(key_id).bind(sealed).execute(pool).await?;
    Ok(())
}
