//! Filters that clients have stored, numbered for each user.

use sqlx::PgPool;

use super::{Error, Result, UserNr};

/// How often a number is drawn anew because another request took it.
const ATTEMPTS: usize = 16;

/// Stores a filter and returns its number. An equal text has the number that it was given first.
pub async fn put(pool: &PgPool, user: UserNr, json: &str) -> Result<i32> {
    let find = "select id from filter where usr = $1 and hash = sha256(convert_to($2, 'UTF8'))";
    let insert = "insert into filter (usr, id, hash, json)
                  select $1, coalesce(max(id), 0) + 1, sha256(convert_to($2, 'UTF8')), $2 from filter where usr = $1
                  on conflict do nothing returning id";
    for _ in 0..ATTEMPTS {
        if let Some(id) = sqlx::query_scalar(find).bind(user).bind(json).fetch_optional(pool).await? {
            return Ok(id);
        }
        if let Some(id) = sqlx::query_scalar(insert).bind(user).bind(json).fetch_optional(pool).await? {
            return Ok(id);
        }
    }
    Err(Error::Inconsistent(format!("no number is found for a filter of user {}", user.0)))
}

/// The filter with the number `id`.
pub async fn get(pool: &PgPool, user: UserNr, id: i32) -> Result<Option<String>> {
    let sql = "select json from filter where usr = $1 and id = $2";
    Ok(sqlx::query_scalar(sql).bind(user).bind(id).fetch_optional(pool).await?)
}
