//! Profiles of this server's users: a row a field, its value as JSON text. Written through the log: see
//! `user_change`.

use sqlx::PgPool;

use super::{Result, UserNr};

/// `displayname` and `avatar_url` of many users: user, key, value as JSON text.
pub async fn names_of(pool: &PgPool, users: &[UserNr]) -> Result<Vec<(UserNr, String, String)>> {
    let sql = "select usr, key, value from profile where usr = any($1) and key in ('displayname', 'avatar_url')";
    Ok(sqlx::query_as(sql).bind(users).fetch_all(pool).await?)
}

/// All fields of a user, by key.
pub async fn get(pool: &PgPool, usr: UserNr) -> Result<Vec<(String, String)>> {
    let sql = "select key, value from profile where usr = $1 order by key";
    Ok(sqlx::query_as(sql).bind(usr).fetch_all(pool).await?)
}
