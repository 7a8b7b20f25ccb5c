//! Aliases of this server.

use sqlx::PgPool;

use super::{Result, RoomNr, UserNr};

/// An alias that leads to a room.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Row {
    pub room: RoomNr,
    pub room_id: String,
    pub creator: UserNr,
}

/// For how long an alias may wait for its room to be created.
const PATIENCE_MS: i64 = 60_000;

/// Where the alias leads.
pub async fn find(pool: &PgPool, alias: &str) -> Result<Option<Row>> {
    let sql = "select a.room, r.id as room_id, a.creator from alias a join room r on r.nr = a.room where a.alias = $1";
    Ok(sqlx::query_as(sql).bind(alias).fetch_optional(pool).await?)
}

/// Takes the alias for `room`, which may be a room that is about to be created. `false` where it is taken: an alias of a
/// room that was never created is free after a while.
pub async fn take(pool: &PgPool, alias: &str, room: RoomNr, creator: UserNr, now: i64) -> Result<bool> {
    let sql = "insert into alias as a (alias, room, creator, created_ts) values ($1, $2, $3, $4)
               on conflict (alias) do update set room = excluded.room, creator = excluded.creator,
                                                 created_ts = excluded.created_ts
                where a.created_ts < $5 and not exists (select from room r where r.nr = a.room)";
    let done =
        sqlx::query(sql).bind(alias).bind(room).bind(creator).bind(now).bind(now - PATIENCE_MS).execute(pool).await?;
    Ok(done.rows_affected() == 1)
}

/// Frees the alias, if it leads to `room`. `false` where it does not.
pub async fn free(pool: &PgPool, alias: &str, room: RoomNr) -> Result<bool> {
    let sql = "delete from alias where alias = $1 and room = $2";
    Ok(sqlx::query(sql).bind(alias).bind(room).execute(pool).await?.rows_affected() == 1)
}

/// The aliases that lead to `room`, sorted.
pub async fn of_room(pool: &PgPool, room: RoomNr) -> Result<Vec<String>> {
    Ok(sqlx::query_scalar("select alias from alias where room = $1 order by alias").bind(room).fetch_all(pool).await?)
}

/// Those of `aliases` that lead to `room`.
pub async fn leading_to(pool: &PgPool, room: RoomNr, aliases: &[&str]) -> Result<Vec<String>> {
    let sql = "select alias from alias where room = $1 and alias = any($2)";
    Ok(sqlx::query_scalar(sql).bind(room).bind(aliases).fetch_all(pool).await?)
}

/// Makes all aliases of one room lead to another. Returns how many there were.
pub async fn move_all(pool: &PgPool, from: RoomNr, to: RoomNr) -> Result<u64> {
    let sql = "update alias set room = $2 where room = $1";
    Ok(sqlx::query(sql).bind(from).bind(to).execute(pool).await?.rows_affected())
}
