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

/// The last position; 0 in a database without commits.
pub async fn newest(pool: &PgPool) -> Result<Pos> {
    let sql = "select coalesce((select last from slice order by last desc limit 1), 0)";
    Ok(sqlx::query_scalar(sql).fetch_one(pool).await?)
}

/// How many slices [`from`] returns at most.
pub const AT_ONCE: usize = 1000;

/// Slices from the one that ends at `pos` on, oldest first. What that first one touched is left out.
pub async fn from(pool: &PgPool, pos: Pos) -> Result<Vec<Row>> {
    let sql = "select last, first, generation, writer,
                      case when last > $1 then rooms else '{}' end as rooms,
                      case when last > $1 then users else '{}' end as users,
                      case when last > $1 then notices else '{}' end as notices
                 from slice where last >= $1 order by last limit $2";
    Ok(sqlx::query_as(sql).bind(pos).bind(i64::try_from(AT_ONCE).unwrap_or(i64::MAX)).fetch_all(pool).await?)
}

/// Drops up to 5,000 of the oldest slices, if they are older than `ts`, no follower has yet to read them, and no other node
/// is dropping some. Returns how many.
pub async fn prune(pool: &PgPool, ts: i64) -> Result<u64> {
    let sql = "with mine as materialized (select pg_try_advisory_xact_lock(hashtextextended('roost slices', 0)) as it),
                    oldest as materialized (
                      select last, writer, ts from slice where (select it from mine) order by last limit 5000)
               delete from slice s using oldest o
                where s.last = o.last and o.ts < $1
                  and o.last < (select last from slice order by last desc limit 1)
                  and o.last < (select pos from search_cursor)
                  and not exists (select from push_cursor c where c.writer = o.writer and c.pos < o.last)";
    Ok(sqlx::query(sql).bind(ts).execute(pool).await?.rows_affected())
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
