//! Filters that clients have stored, numbered for each user.

use sqlx::PgPool;

use super::{Error, Result, UserNr};

/// How often a number is drawn anew because another request took it.
const ATTEMPTS: usize = 16;

/// Stores a filter and returns its number. An equal text has the number that it was given first. `None`: the user has `most`
/// others.
pub async fn put(pool: &PgPool, user: UserNr, json: &str, most: i32) -> Result<Option<i32>> {
    let find = "select id from filter where usr = $1 and hash = sha256(convert_to($2, 'UTF8'))";
    let insert = "insert into filter (usr, id, hash, json)
                  select $1, coalesce(max(id), 0) + 1, sha256(convert_to($2, 'UTF8')), $2 from filter where usr = $1
                  having coalesce(max(id), 0) < $3 on conflict do nothing returning id";
    let full = "select coalesce(max(id), 0) >= $2 from filter where usr = $1";
    for _ in 0..ATTEMPTS {
        if let Some(id) = sqlx::query_scalar(find).bind(user).bind(json).fetch_optional(pool).await? {
            return Ok(Some(id));
        }
        if let Some(id) = sqlx::query_scalar(insert).bind(user).bind(json).bind(most).fetch_optional(pool).await? {
            return Ok(Some(id));
        }
        if sqlx::query_scalar(full).bind(user).bind(most).fetch_one(pool).await? {
            return Ok(None);
        }
    }
    Err(Error::Inconsistent(format!("no number is found for a filter of user {}", user.0)))
}

/// The filter with the number `id`.
pub async fn get(pool: &PgPool, user: UserNr, id: i32) -> Result<Option<String>> {
    let sql = "select json from filter where usr = $1 and id = $2";
    Ok(sqlx::query_scalar(sql).bind(user).bind(id).fetch_optional(pool).await?)
}
