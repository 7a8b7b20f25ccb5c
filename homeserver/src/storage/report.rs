//! What users report to the server's administrators.

use sqlx::PgPool;

use super::{Result, RoomNr, UserNr};

/// A report of a room, of an event in it, or of a user.
#[derive(Debug, Clone)]
pub struct Report<'a> {
    pub ts: i64,
    pub reporter: UserNr,
    pub room: Option<RoomNr>,
    pub event_id: Option<&'a str>,
    pub target: Option<UserNr>,
    pub reason: &'a str,
    /// As older clients send it: -100 is the worst.
    pub score: Option<i64>,
}

/// Keeps a report.
pub async fn add(pool: &PgPool, report: &Report<'_>) -> Result<()> {
    let sql = "insert into report (ts, reporter, room, event_id, target, reason, score)
               values ($1, $2, $3, $4, $5, $6, $7)";
    sqlx::query(sql)
        .bind(report.ts)
        .bind(report.reporter)
        .bind(report.room)
        .bind(report.event_id)
        .bind(report.target)
        .bind(report.reason)
        .bind(report.score)
        .execute(pool)
        .await?;
    Ok(())
}
