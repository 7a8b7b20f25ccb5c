//! Short-lived tokens: for `m.login.token`, used once, and for OpenID.

use sqlx::{PgConnection, PgPool};

use super::{Result, UserNr, token::Hash};

/// Keeps a token for `m.login.token`.
pub async fn insert(pool: &PgPool, hash: &Hash, usr: UserNr, expires_ts: i64) -> Result<()> {
    let sql = "insert into login_token (hash, usr, expires_ts) values ($1, $2, $3)";
    sqlx::query(sql).bind(hash.as_slice()).bind(usr).bind(expires_ts).execute(pool).await?;
    Ok(())
}

/// Whose token it is, if it has not expired. The log-in uses it up.
pub async fn find(pool: &PgPool, hash: &Hash, now: i64) -> Result<Option<UserNr>> {
    let sql = "select usr from login_token where hash = $1 and expires_ts > $2";
    Ok(sqlx::query_scalar(sql).bind(hash.as_slice()).bind(now).fetch_optional(pool).await?)
}

/// Keeps an OpenID token.
pub async fn insert_openid(pool: &PgPool, hash: &Hash, usr: UserNr, expires_ts: i64) -> Result<()> {
    let sql = "insert into openid_token (hash, usr, expires_ts) values ($1, $2, $3)";
    sqlx::query(sql).bind(hash.as_slice()).bind(usr).bind(expires_ts).execute(pool).await?;
    Ok(())
}

/// The user of an OpenID token, if it has not expired.
pub async fn find_openid(pool: &PgPool, hash: &Hash, now: i64) -> Result<Option<UserNr>> {
    let sql = "select usr from openid_token where hash = $1 and expires_ts > $2";
    Ok(sqlx::query_scalar(sql).bind(hash.as_slice()).bind(now).fetch_optional(pool).await?)
}

/// Drops what has expired.
pub async fn sweep(conn: &mut PgConnection, now: i64) -> Result<()> {
    sqlx::query("delete from login_token where expires_ts < $1").bind(now).execute(&mut *conn).await?;
    sqlx::query("delete from openid_token where expires_ts < $1").bind(now).execute(conn).await?;
    Ok(())
}
