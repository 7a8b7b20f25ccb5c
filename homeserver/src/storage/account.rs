//! Accounts of this server's users. Made and changed through the log: see `user_change`.

use sqlx::{FromRow, PgPool};

use super::{Result, UserNr};

/// An account.
#[derive(Debug, Clone, FromRow)]
pub struct Account {
    pub usr: UserNr,
    pub localpart: String,
    /// A PHC string; `None`: nobody logs in with a password.
    pub password: Option<String>,
    pub admin: bool,
    pub locked: bool,
    pub suspended: bool,
    pub deactivated: bool,
    pub created_ts: i64,
}

/// The account of a user of this server.
pub async fn find(pool: &PgPool, usr: UserNr) -> Result<Option<Account>> {
    let sql = "select usr, localpart, password, admin, locked, suspended, deactivated, created_ts from account where usr = $1";
    Ok(sqlx::query_as(sql).bind(usr).fetch_optional(pool).await?)
}

/// The account with this name.
pub async fn by_localpart(pool: &PgPool, localpart: &str) -> Result<Option<Account>> {
    let sql = "select usr, localpart, password, admin, locked, suspended, deactivated, created_ts from account where localpart = $1";
    Ok(sqlx::query_as(sql).bind(localpart).fetch_optional(pool).await?)
}

/// Up to `limit` accounts whose names come after `after`, by name.
pub async fn list(pool: &PgPool, after: &str, limit: i64) -> Result<Vec<Account>> {
    let sql = "select usr, localpart, password, admin, locked, suspended, deactivated, created_ts from account \
               where localpart > $1 order by localpart limit $2";
    Ok(sqlx::query_as(sql).bind(after).bind(limit).fetch_all(pool).await?)
}

/// Those of `users` who asked to be erased; of all users for `None`.
pub async fn erased(pool: &PgPool, users: Option<&[UserNr]>) -> Result<Vec<UserNr>> {
    let sql = "select usr from account where erased and ($1::integer[] is null or usr = any($1))";
    Ok(sqlx::query_scalar(sql).bind(users).fetch_all(pool).await?)
}

/// Deactivated users whose rooms are still to be left.
pub async fn leaving(pool: &PgPool) -> Result<Vec<UserNr>> {
    Ok(sqlx::query_scalar("select usr from account where leaving limit 100").fetch_all(pool).await?)
}

/// Notes that the user's rooms are left.
pub async fn left(pool: &PgPool, usr: UserNr) -> Result<()> {
    sqlx::query("update account set leaving = false where usr = $1").bind(usr).execute(pool).await?;
    Ok(())
}
