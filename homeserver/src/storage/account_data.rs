//! Account data: what clients keep on the server for their user alone. Written through the log.

use sqlx::PgPool;

use super::{Result, RoomNr, UserNr};

/// The content of one piece; `room` is 0 where it is global. What was removed is `{}`.
pub async fn get(pool: &PgPool, user: UserNr, room: RoomNr, kind: &str) -> Result<Option<String>> {
    let sql = "select json from account_data where usr = $1 and room = $2 and type = $3";
    Ok(sqlx::query_scalar(sql).bind(user).bind(room).bind(kind).fetch_optional(pool).await?)
}

/// Some pieces of many users, outside rooms: user, type, content.
pub async fn of_users(pool: &PgPool, users: &[UserNr], kinds: &[&str]) -> Result<Vec<(UserNr, String, String)>> {
    let sql = "select usr, type, json from account_data where usr = any($1) and room = 0 and type = any($2)";
    Ok(sqlx::query_as(sql).bind(users).bind(kinds).fetch_all(pool).await?)
}

/// How many pieces a user keeps and how many bytes they take, without the one named.
pub async fn usage(pool: &PgPool, user: UserNr, room: RoomNr, kind: &str) -> Result<(i64, i64)> {
    let sql = "select count(*), coalesce(sum(octet_length(type) + octet_length(json)), 0)::bigint from account_data \
               where usr = $1 and (room, type) <> ($2, $3)";
    Ok(sqlx::query_as(sql).bind(user).bind(room).bind(kind).fetch_one(pool).await?)
}
