//! Tokens that let somebody make an account.

use sqlx::{FromRow, PgPool};

use super::Result;

/// A registration token.
#[derive(Debug, Clone, FromRow)]
pub struct RegistrationToken {
    pub token: String,
    /// `None`: any number of times.
    pub uses_allowed: Option<i32>,
    pub completed: i32,
    /// `None`: never.
    pub expires_ts: Option<i64>,
    pub created_ts: i64,
    /// The one that quickstart prints.
    pub standing: bool,
}

/// The token, whether it is still good or not.
pub async fn find(pool: &PgPool, token: &str) -> Result<Option<RegistrationToken>> {
    let sql = "select token, uses_allowed, completed, expires_ts, created_ts, standing from registration_token \
               where token = $1";
    Ok(sqlx::query_as(sql).bind(token).fetch_optional(pool).await?)
}

/// All tokens, oldest first.
pub async fn list(pool: &PgPool) -> Result<Vec<RegistrationToken>> {
    let sql = "select token, uses_allowed, completed, expires_ts, created_ts, standing from registration_token \
               order by created_ts, token";
    Ok(sqlx::query_as(sql).fetch_all(pool).await?)
}

/// Adds a token. `false`: there is one like it.
pub async fn insert(
    pool: &PgPool,
    token: &str,
    uses_allowed: Option<i32>,
    expires_ts: Option<i64>,
    now: i64,
) -> Result<bool> {
    let sql = "insert into registration_token (token, uses_allowed, expires_ts, created_ts) values ($1, $2, $3, $4) \
               on conflict do nothing";
    let done = sqlx::query(sql).bind(token).bind(uses_allowed).bind(expires_ts).bind(now).execute(pool).await?;
    Ok(done.rows_affected() == 1)
}

/// Deletes a token. `false`: there is none like it.
pub async fn delete(pool: &PgPool, token: &str) -> Result<bool> {
    let done = sqlx::query("delete from registration_token where token = $1").bind(token).execute(pool).await?;
    Ok(done.rows_affected() == 1)
}

/// The standing token; `fresh` becomes it where there is none.
pub async fn standing(pool: &PgPool, fresh: &str, now: i64) -> Result<String> {
    let insert =
        "insert into registration_token (token, created_ts, standing) values ($1, $2, true) on conflict do nothing";
    sqlx::query(insert).bind(fresh).bind(now).execute(pool).await?;
    Ok(sqlx::query_scalar("select token from registration_token where standing").fetch_one(pool).await?)
}
