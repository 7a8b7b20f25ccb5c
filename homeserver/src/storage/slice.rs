//! Slices: what each commit touched, for nodes that missed the bell.

use sqlx::{PgConnection, PgPool};

use super::{Pos, Result, RoomNr, UserNr};

/// A slice as the database keeps it.
#[derive(Debug, sqlx::FromRow)]
pub struct Row {
    pub last: Pos,
    pub first: Pos,
    pub generation: i64,
    pub writer: i64,
    pub rooms: Vec<RoomNr>,
    pub users: Vec<UserNr>,
    pub notices: Vec<String>,
}

/// The last position and the generation. `(0, 1)` in a database without commits.
pub async fn newest(pool: &PgPool) -> Result<(Pos, i64)> {
    let sql = "select coalesce((select last from slice order by last desc limit 1), 0), generation from server";
    Ok(sqlx::query_as(sql).fetch_optional(pool).await?.unwrap_or((Pos(0), 1)))
}

/// Up to 1,000 slices after `pos`, oldest first.
pub async fn after(pool: &PgPool, pos: Pos) -> Result<Vec<Row>> {
    let sql = "select last, first, generation, writer, rooms, users, notices from slice where last > $1 order by last limit 1000";
    Ok(sqlx::query_as(sql).bind(pos).fetch_all(pool).await?)
}

/// Takes a block of 1,024 numbers and returns its first.
pub async fn number_block(pool: &PgPool) -> Result<i64> {
    Ok(sqlx::query_scalar("select nextval('number_block')").fetch_one(pool).await?)
}

/// Tells all nodes that somebody outside them has committed.
pub async fn notify(conn: &mut PgConnection, channel: &str) -> Result<()> {
    sqlx::query("select pg_notify($1, '')").bind(channel).execute(conn).await?;
    Ok(())
}
