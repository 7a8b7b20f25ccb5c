//! Rooms: number, ID, version, and whether the public directory lists them.

use sqlx::PgPool;

use super::{FrameNr, Result, RoomNr};

/// A room as the database keeps it. Apart from `public`, nothing of it ever changes.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Row {
    pub nr: RoomNr,
    pub id: String,
    pub version: String,
    pub public: bool,
}

/// The room with the ID `id`.
pub async fn by_id(pool: &PgPool, id: &str) -> Result<Option<Row>> {
    let sql = "select nr, id, version, public from room where id = $1";
    Ok(sqlx::query_as(sql).bind(id).fetch_optional(pool).await?)
}

/// The rooms with these IDs, in no order.
pub async fn by_ids(pool: &PgPool, ids: &[&str]) -> Result<Vec<Row>> {
    let sql = "select nr, id, version, public from room where id = any($1)";
    Ok(sqlx::query_as(sql).bind(ids).fetch_all(pool).await?)
}

/// The rooms with these numbers.
pub async fn by_nr(pool: &PgPool, numbers: &[RoomNr]) -> Result<Vec<Row>> {
    let sql = "select nr, id, version, public from room where nr = any($1)";
    Ok(sqlx::query_as(sql).bind(numbers).fetch_all(pool).await?)
}

/// Lists the room in the public directory, or takes it off. `false` where there is no such room.
pub async fn set_public(pool: &PgPool, nr: RoomNr, public: bool) -> Result<bool> {
    let done = sqlx::query("update room set public = $2 where nr = $1").bind(nr).bind(public).execute(pool).await?;
    Ok(done.rows_affected() == 1)
}

/// The rooms of the public directory, by number.
pub async fn listed(pool: &PgPool) -> Result<Vec<RoomNr>> {
    Ok(sqlx::query_scalar("select nr from room where public").fetch_all(pool).await?)
}

/// Those of `rooms` that the public directory lists: number and current state.
pub async fn listed_among(pool: &PgPool, rooms: &[RoomNr]) -> Result<Vec<(RoomNr, FrameNr)>> {
    let sql = "select r.nr, h.frame from room r join room_head h on h.room = r.nr where r.nr = any($1) and r.public";
    Ok(sqlx::query_as(sql).bind(rooms).fetch_all(pool).await?)
}

/// The current states of `rooms`, in no order.
pub async fn frames(pool: &PgPool, rooms: &[RoomNr]) -> Result<Vec<(RoomNr, FrameNr)>> {
    Ok(sqlx::query_as("select room, frame from room_head where room = any($1)").bind(rooms).fetch_all(pool).await?)
}
