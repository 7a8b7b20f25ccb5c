//! Generations of the log: which line of PostgreSQL's own history positions belong to.
//!
//! A standby that is promoted may lack the newest commits. Positions that were told to clients are then given out again,
//! for other things; the generation tells the two apart.

use sqlx::{Connection, PgConnection, PgPool};

use super::{Error, Pos, Result};
use crate::clock::now_ms;

/// Where the log stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::FromRow)]
pub struct Standing {
    pub newest: Pos,
    /// The process that committed it.
    pub writer: i64,
    pub generation: i64,
}

/// PostgreSQL's cluster and timeline: each promotion of a standby begins a new timeline. `None` where the server does not
/// tell.
///
/// # Errors
/// [`Error::Unavailable`]: it is a standby, and nothing may be written there.
pub async fn lineage(conn: &mut PgConnection) -> Result<Option<String>> {
    let standby: bool = sqlx::query_scalar("select pg_is_in_recovery()").fetch_one(&mut *conn).await?;
    if standby {
        return Err(Error::Unavailable(sqlx::Error::Protocol("the database is a standby".to_owned())));
    }
    let sql = "select system_identifier || ':' || left(pg_walfile_name(pg_current_wal_insert_lsn()), 8) \
               from pg_control_system()";
    match sqlx::query_scalar(sql).fetch_one(conn).await.map_err(Error::from) {
        Ok(lineage) => Ok(Some(lineage)),
        // Some who offer PostgreSQL as a service keep these functions for themselves.
        Err(Error::Refused(error)) => {
            tracing::debug!(%error, "the database does not tell its timeline");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Where the log stands, in its generation; begins a new one where the database's history is another than that of the
/// generation before, or lacks `seen`, which a node has applied. With the database's lineage.
///
/// # Errors
/// As of [`lineage`].
pub async fn stand(conn: &mut PgConnection, seen: Option<Standing>) -> Result<(Standing, Option<String>)> {
    let lineage = lineage(conn).await?;
    let mut transaction = conn.begin().await?;
    let conn = &mut *transaction;
    // Nodes take turns; whoever comes second finds the generation begun.
    let generation: Option<i64> =
        sqlx::query_scalar("select generation from server for update").fetch_optional(&mut *conn).await?;
    let generation = generation.unwrap_or(1);
    let newest: Option<(Pos, i64)> =
        sqlx::query_as("select last, writer from slice order by last desc limit 1").fetch_optional(&mut *conn).await?;
    let (newest, writer) = newest.unwrap_or_default();
    let known: Option<Option<String>> = sqlx::query_scalar("select lineage from generation where nr = $1")
        .bind(generation)
        .fetch_optional(&mut *conn)
        .await?;
    let is_lost = match seen {
        Some(seen) => lacks(conn, seen).await?,
        None => false,
    };
    let differs = matches!((&known, &lineage), (Some(Some(known)), Some(lineage)) if known != lineage);
    let is_new = differs || is_lost && seen.is_some_and(|seen| seen.generation == generation);
    let generation = if is_new { begin(conn).await? } else { generation };
    let sql = "insert into generation (nr, began, lineage, ts) values ($1, $2, $3, $4) \
               on conflict (nr) do update set lineage = coalesce(generation.lineage, excluded.lineage)";
    sqlx::query(sql).bind(generation).bind(newest.0 + 1).bind(&lineage).bind(now_ms()).execute(&mut *conn).await?;
    if is_lost {
        let sql = "update generation set lost = true where nr = $1 and not lost";
        if sqlx::query(sql).bind(generation).execute(&mut *conn).await?.rows_affected() == 1 {
            forget_given_keys(conn).await?;
        }
    }
    transaction.commit().await?;
    Ok((Standing { newest, writer, generation }, lineage))
}

/// Whether the database lacks the commit that `seen` is about, although it keeps commits of that age.
async fn lacks(conn: &mut PgConnection, seen: Standing) -> Result<bool> {
    let sql = "select $1 > 0 and not exists (select from slice where last = $1 and writer = $2)
                  and (exists (select from slice where last < $1) or not exists (select from slice))";
    Ok(sqlx::query_scalar(sql).bind(seen.newest).bind(seen.writer).fetch_one(conn).await?)
}

/// Begins a new generation, and returns its number.
pub(super) async fn begin(conn: &mut PgConnection) -> Result<i64> {
    // The clock keeps two restores of one backup apart.
    let sql = "update server set generation = greatest(generation + 1, extract(epoch from now())::bigint) returning generation";
    let begun: Option<i64> = sqlx::query_scalar(sql).fetch_optional(conn).await?;
    begun.ok_or_else(|| Error::Inconsistent("a database without a server's name".to_owned()))
}

/// One-time keys may have been given out in what was lost, and fallback keys replaced: clients find none and upload new ones.
pub(super) async fn forget_given_keys(conn: &mut PgConnection) -> Result<()> {
    sqlx::query("delete from one_time_key").execute(&mut *conn).await?;
    sqlx::query("delete from fallback_key").execute(conn).await?;
    Ok(())
}

/// Up to where the positions of `generation` still hold; `None`: all of them.
pub async fn end(pool: &PgPool, generation: i64) -> Result<Option<Pos>> {
    let sql = "select min(began) - 1 from generation where nr > $1";
    Ok(sqlx::query_scalar(sql).bind(generation).fetch_one(pool).await?)
}
