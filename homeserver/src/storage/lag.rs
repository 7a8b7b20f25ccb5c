//! What is behind, and what keeps PostgreSQL from tidying up.

use sqlx::{FromRow, PgPool};

use super::Result;

/// The oldest snapshot that somebody holds in this PostgreSQL: rows that changed since can't be cleared away.
#[derive(Debug, Clone, FromRow)]
pub struct Snapshot {
    /// How old it is.
    pub seconds: i64,
    /// Its process; 0: a prepared transaction, which has none.
    pub pid: i32,
    /// Who holds it, as far as we may see.
    pub holder: String,
}

/// `None`: nobody holds one.
pub async fn oldest_snapshot(pool: &PgPool) -> Result<Option<Snapshot>> {
    let sql = "select extract(epoch from clock_timestamp() - since)::bigint as seconds, pid, holder from (
                   select xact_start as since, pid, coalesce(nullif(application_name, ''), usename, '') as holder
                     from pg_stat_activity
                    where backend_xmin is not null and xact_start is not null and pid <> pg_backend_pid()
                   union all
                   select prepared, 0, gid from pg_prepared_xacts) held
                order by since limit 1";
    Ok(sqlx::query_as(sql).fetch_optional(pool).await?)
}

/// How far those who follow the log are behind it, in positions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromRow)]
pub struct Followers {
    /// The taking-in of words.
    pub words: i64,
    /// Pushes: the process that is farthest behind what it committed itself; 0 where nobody has a pusher.
    pub pushes: i64,
}

/// A few rows by index, however far they are behind.
pub async fn followers(pool: &PgPool) -> Result<Followers> {
    let sql = "select greatest(coalesce((select last from slice order by last desc limit 1), 0)
                               - (select pos from search_cursor), 0) as words,
                      coalesce((select max(greatest(s.last - c.pos, 0))
                                  from push_cursor c cross join lateral (
                                       select last from slice where writer = c.writer order by batch desc limit 1) s
                                 where exists (select from pusher)),
                               0) as pushes";
    Ok(sqlx::query_as(sql).fetch_one(pool).await?)
}
