//! Accounts of this server's users.

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

/// Creates an account whose owner is shown by its localpart. `false`: the name is taken, or was once.
pub async fn insert(
    pool: &PgPool,
    usr: UserNr,
    localpart: &str,
    password: Option<&str>,
    admin: bool,
    now: i64,
) -> Result<bool> {
    let sql = "with a as (insert into account (usr, localpart, password, admin, created_ts) \
                          values ($1, $2, $3, $4, $5) on conflict do nothing returning usr) \
               insert into profile (usr, key, value) select usr, 'displayname', to_json($2::text)::text from a";
    let done = sqlx::query(sql).bind(usr).bind(localpart).bind(password).bind(admin).bind(now).execute(pool).await?;
    Ok(done.rows_affected() == 1)
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

/// Sets the password's hash. `false`: there is no such account, or it is deactivated.
pub async fn set_password(pool: &PgPool, usr: UserNr, password: &str) -> Result<bool> {
    let sql = "update account set password = $2 where usr = $1 and not deactivated";
    Ok(sqlx::query(sql).bind(usr).bind(password).execute(pool).await?.rows_affected() == 1)
}

/// Makes the user an administrator or an ordinary user. `false`: there is no such account.
pub async fn set_admin(pool: &PgPool, usr: UserNr, admin: bool) -> Result<bool> {
    let sql = "update account set admin = $2 where usr = $1";
    Ok(sqlx::query(sql).bind(usr).bind(admin).execute(pool).await?.rows_affected() == 1)
}

/// Locks or unlocks. `false`: there is no such account.
pub async fn set_locked(pool: &PgPool, usr: UserNr, locked: bool) -> Result<bool> {
    let sql = "update account set locked = $2 where usr = $1";
    Ok(sqlx::query(sql).bind(usr).bind(locked).execute(pool).await?.rows_affected() == 1)
}

/// Suspends or reinstates. `false`: there is no such account.
pub async fn set_suspended(pool: &PgPool, usr: UserNr, suspended: bool) -> Result<bool> {
    let sql = "update account set suspended = $2 where usr = $1";
    Ok(sqlx::query(sql).bind(usr).bind(suspended).execute(pool).await?.rows_affected() == 1)
}

/// Ends the account with its devices, keys, tokens and profile, and notes that its rooms are to be left.
///
/// `false`: there is no such account. Repeating it is no error.
pub async fn deactivate(pool: &PgPool, usr: UserNr, erase: bool) -> Result<bool> {
    let mut transaction = pool.begin().await?;
    super::device::delete_all(&mut transaction, usr).await?;
    let sql = "with l as (delete from login_token where usr = $1), o as (delete from openid_token where usr = $1), \
                    p as (delete from profile where usr = $1), u as (delete from uia_session where usr = $1), \
                    c as (delete from cross_signing_key where usr = $1), s as (delete from key_signature where usr = $1), \
                    v as (delete from key_backup where usr = $1), w as (delete from key_backup_session where usr = $1) \
               update account set deactivated = true, leaving = true, password = null, admin = false, \
                      erased = erased or $2 where usr = $1";
    let done = sqlx::query(sql).bind(usr).bind(erase).execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(done.rows_affected() == 1)
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
