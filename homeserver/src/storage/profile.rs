//! Profiles of this server's users: a row a field, its value as JSON text.

use sqlx::PgPool;

use super::{Result, UserNr};

/// `displayname` and `avatar_url` of many users: user, key, value as JSON text.
pub async fn names_of(pool: &PgPool, users: &[UserNr]) -> Result<Vec<(UserNr, String, String)>> {
    let sql = "select usr, key, value from profile where usr = any($1) and key in ('displayname', 'avatar_url')";
    Ok(sqlx::query_as(sql).bind(users).fetch_all(pool).await?)
}
