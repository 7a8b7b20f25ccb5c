//! Server-side backups of room keys.

use sqlx::{FromRow, PgConnection, PgPool};

use super::{Result, UserNr};

/// A backup version.
#[derive(Debug, Clone, FromRow)]
pub struct Version {
    pub version: i64,
    pub algorithm: String,
    pub auth_data: String,
    pub etag: i64,
}

/// One backed-up session.
#[derive(Debug, Clone, FromRow)]
pub struct Session {
    pub room_id: String,
    pub session_id: String,
    pub first_message_index: i64,
    pub forwarded_count: i64,
    pub is_verified: bool,
    pub session_data: String,
}

/// Makes a new version, numbered after all earlier ones, deleted ones too.
pub async fn create(pool: &PgPool, user: UserNr, algorithm: &str, auth_data: &str) -> Result<i64> {
    let sql = "insert into key_backup (usr, version, algorithm, auth_data)
               select $1, coalesce(max(version), 0) + 1, $2, $3 from key_backup where usr = $1 returning version";
    Ok(sqlx::query_scalar(sql).bind(user).bind(algorithm).bind(auth_data).fetch_one(pool).await?)
}

/// One version, or the newest for `None`; deleted ones are not there.
pub async fn version(conn: &mut PgConnection, user: UserNr, version: Option<i64>) -> Result<Option<Version>> {
    let sql = "select version, algorithm, auth_data, etag from key_backup
                where usr = $1 and not deleted and version = coalesce($2, version) order by version desc limit 1";
    Ok(sqlx::query_as(sql).bind(user).bind(version).fetch_optional(conn).await?)
}

/// Locks a version against other changes until the transaction ends.
pub async fn lock(conn: &mut PgConnection, user: UserNr, version: i64) -> Result<()> {
    let sql = "select 1 from key_backup where usr = $1 and version = $2 for no key update";
    sqlx::query(sql).bind(user).bind(version).execute(conn).await?;
    Ok(())
}

/// Replaces a version's `auth_data`.
pub async fn set_auth_data(pool: &PgPool, user: UserNr, version: i64, auth_data: &str) -> Result<bool> {
    let sql = "update key_backup set auth_data = $3 where usr = $1 and version = $2 and not deleted";
    Ok(sqlx::query(sql).bind(user).bind(version).bind(auth_data).execute(pool).await?.rows_affected() == 1)
}

/// Deletes a version with its sessions; says whether it was there.
pub async fn delete(conn: &mut PgConnection, user: UserNr, version: i64) -> Result<bool> {
    let sql = "update key_backup set deleted = true where usr = $1 and version = $2 and not deleted";
    let found = sqlx::query(sql).bind(user).bind(version).execute(&mut *conn).await?.rows_affected() == 1;
    let sessions = "delete from key_backup_session where usr = $1 and version = $2";
    sqlx::query(sessions).bind(user).bind(version).execute(conn).await?;
    Ok(found)
}

/// Stores sessions where they are better than what is there: verified before unverified, then the lower first index, then
/// the lower forwarded count. Returns how many changed.
pub async fn put(conn: &mut PgConnection, user: UserNr, version: i64, sessions: &[Session]) -> Result<u64> {
    let sql = "insert into key_backup_session as s
                   (usr, version, room_id, session_id, first_message_index, forwarded_count, is_verified, session_data)
               select $1, $2, u.* from unnest($3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::boolean[], $8::text[]) as u
               on conflict (usr, version, room_id, session_id) do update
                  set first_message_index = excluded.first_message_index, forwarded_count = excluded.forwarded_count,
                      is_verified = excluded.is_verified, session_data = excluded.session_data
                where (excluded.is_verified and not s.is_verified)
                   or (excluded.is_verified = s.is_verified
                       and (excluded.first_message_index, excluded.forwarded_count)
                         < (s.first_message_index, s.forwarded_count))";
    Ok(sqlx::query(sql)
        .bind(user)
        .bind(version)
        .bind(sessions.iter().map(|s| &*s.room_id).collect::<Vec<_>>())
        .bind(sessions.iter().map(|s| &*s.session_id).collect::<Vec<_>>())
        .bind(sessions.iter().map(|s| s.first_message_index).collect::<Vec<_>>())
        .bind(sessions.iter().map(|s| s.forwarded_count).collect::<Vec<_>>())
        .bind(sessions.iter().map(|s| s.is_verified).collect::<Vec<_>>())
        .bind(sessions.iter().map(|s| &*s.session_data).collect::<Vec<_>>())
        .execute(conn)
        .await?
        .rows_affected())
}

/// The sessions of a version, of one room, or one session.
pub async fn sessions(
    pool: &PgPool,
    user: UserNr,
    version: i64,
    room_id: Option<&str>,
    session_id: Option<&str>,
) -> Result<Vec<Session>> {
    let sql = "select room_id, session_id, first_message_index, forwarded_count, is_verified, session_data
                 from key_backup_session
                where usr = $1 and version = $2 and ($3::text is null or room_id = $3) and ($4::text is null or session_id = $4)
                order by room_id, session_id";
    Ok(sqlx::query_as(sql).bind(user).bind(version).bind(room_id).bind(session_id).fetch_all(pool).await?)
}

/// Deletes the sessions of a version, of one room, or one session. Returns how many there were.
pub async fn delete_sessions(
    conn: &mut PgConnection,
    user: UserNr,
    version: i64,
    room_id: Option<&str>,
    session_id: Option<&str>,
) -> Result<u64> {
    let sql = "delete from key_backup_session
                where usr = $1 and version = $2 and ($3::text is null or room_id = $3) and ($4::text is null or session_id = $4)";
    let deleted = sqlx::query(sql).bind(user).bind(version).bind(room_id).bind(session_id).execute(conn).await?;
    Ok(deleted.rows_affected())
}

/// Moves the etag on, if anything changed, and returns it with the number of sessions.
pub async fn touch(conn: &mut PgConnection, user: UserNr, version: i64, changed: bool) -> Result<(i64, i64)> {
    let sql = "update key_backup set etag = etag + $3 where usr = $1 and version = $2
               returning etag, (select count(*) from key_backup_session where usr = $1 and version = $2)";
    Ok(sqlx::query_as(sql).bind(user).bind(version).bind(i64::from(changed)).fetch_one(conn).await?)
}

/// How many sessions a version has.
pub async fn count(pool: &PgPool, user: UserNr, version: i64) -> Result<i64> {
    let sql = "select count(*) from key_backup_session where usr = $1 and version = $2";
    Ok(sqlx::query_scalar(sql).bind(user).bind(version).fetch_one(pool).await?)
}
