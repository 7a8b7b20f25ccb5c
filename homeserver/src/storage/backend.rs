//! PostgreSQL's own processes that serve our connections: one that was left in the middle of a call may commit it later.

use sqlx::PgConnection;

use super::Result;

/// The process behind a connection. Numbers are used again, so the start belongs to its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::FromRow)]
pub struct Backend {
    pid: i32,
    /// In microseconds since 1970.
    started: i64,
}

/// Who serves `conn`.
pub async fn of(conn: &mut PgConnection) -> Result<Backend> {
    let sql = "select pid, (extract(epoch from backend_start) * 1000000)::bigint as started \
               from pg_stat_activity where pid = pg_backend_pid()";
    Ok(sqlx::query_as(sql).fetch_one(conn).await?)
}

/// Ends `abandoned`, if it still runs. `true`: it is gone, and whatever it has not committed by now it never will.
pub async fn end(conn: &mut PgConnection, abandoned: Backend) -> Result<bool> {
    let sql = "select pg_terminate_backend(pid, 500) from pg_stat_activity \
               where pid = $1 and (extract(epoch from backend_start) * 1000000)::bigint = $2";
    let ended: Option<bool> =
        sqlx::query_scalar(sql).bind(abandoned.pid).bind(abandoned.started).fetch_optional(conn).await?;
    Ok(ended.is_none_or(|ended| ended))
}

/// No statement on `conn` runs for longer: it is cancelled, and nothing of it is stored.
pub async fn limit_statements(conn: &mut PgConnection, limit: std::time::Duration) -> Result<()> {
    let limit = limit.as_millis().to_string();
    sqlx::query("select set_config('statement_timeout', $1, false)").bind(limit).execute(conn).await?;
    Ok(())
}
