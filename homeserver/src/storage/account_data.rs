//! Account data: what clients keep on the server for their user alone. Written through the log.

use sqlx::PgPool;

use super::{Result, RoomNr, UserNr};

/// The content of one piece; `room` is 0 where it is global. What was removed is `{}`.
pub async fn get(pool: &PgPool, user: UserNr, room: RoomNr, kind: &str) -> Result<Option<String>> {
    let sql = "select json from account_data where usr = $1 and room = $2 and type = $3";
    Ok(sqlx::query_scalar(sql).bind(user).bind(room).bind(kind).fetch_optional(pool).await?)
}
