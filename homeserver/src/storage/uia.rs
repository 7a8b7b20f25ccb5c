//! Sessions of user-interactive authentication.

use sqlx::{FromRow, PgConnection, PgPool};

use super::{Result, UserNr};

/// A session.
#[derive(Debug, Clone, FromRow)]
pub struct UiaSession {
    /// The endpoint.
    pub operation: String,
    pub usr: Option<UserNr>,
    /// Hash over what was asked for.
    pub bound: Vec<u8>,
    /// The stages passed.
    pub completed: Vec<String>,
    /// The registration token shown in a stage.
    pub registration_token: Option<String>,
    pub created_ts: i64,
    /// When it was passed: it is used up then.
    pub passed_ts: Option<i64>,
    /// The account that was made with it, and its device.
    pub made_usr: Option<UserNr>,
    pub made_device: Option<String>,
}

/// So long a client whose answer was lost may come again with the session that it passed.
const REPEATED_MS: i64 = 15 * 60 * 1000;

impl UiaSession {
    /// Whether it was passed, and not long ago.
    pub fn is_repeatable(&self, now: i64) -> bool {
        self.passed_ts.is_some_and(|passed| now - passed < REPEATED_MS)
    }
}

/// Begins a session.
pub async fn insert(
    pool: &PgPool,
    id: &str,
    operation: &str,
    usr: Option<UserNr>,
    bound: &[u8],
    now: i64,
) -> Result<()> {
    let sql = "insert into uia_session (id, operation, usr, bound, created_ts) values ($1, $2, $3, $4, $5)";
    sqlx::query(sql).bind(id).bind(operation).bind(usr).bind(bound).bind(now).execute(pool).await?;
    Ok(())
}

/// The session with this ID.
pub async fn find(pool: &PgPool, id: &str) -> Result<Option<UiaSession>> {
    let sql = "select operation, usr, bound, completed, registration_token, created_ts, passed_ts, made_usr, made_device \
               from uia_session where id = $1";
    Ok(sqlx::query_as(sql).bind(id).fetch_optional(pool).await?)
}

/// Notes a passed stage and returns all of them. `None`: the session is gone.
pub async fn complete(
    pool: &PgPool,
    id: &str,
    stage: &str,
    registration_token: Option<&str>,
) -> Result<Option<Vec<String>>> {
    let sql = "update uia_session set completed = array_append(array_remove(completed, $2), $2), \
                      registration_token = coalesce($3, registration_token) where id = $1 returning completed";
    Ok(sqlx::query_scalar(sql).bind(id).bind(stage).bind(registration_token).fetch_optional(pool).await?)
}

/// Notes that a session was passed. `false`: it was before, or is gone.
pub async fn pass(pool: &PgPool, id: &str, now: i64) -> Result<bool> {
    let sql = "update uia_session set passed_ts = $2 where id = $1 and passed_ts is null";
    Ok(sqlx::query(sql).bind(id).bind(now).execute(pool).await?.rows_affected() == 1)
}

/// Ends a session. `false`: somebody else has.
pub async fn delete(pool: &PgPool, id: &str) -> Result<bool> {
    Ok(sqlx::query("delete from uia_session where id = $1").bind(id).execute(pool).await?.rows_affected() == 1)
}

/// Drops sessions begun before `before`.
pub async fn sweep(conn: &mut PgConnection, before: i64) -> Result<()> {
    sqlx::query("delete from uia_session where created_ts < $1").bind(before).execute(conn).await?;
    Ok(())
}
