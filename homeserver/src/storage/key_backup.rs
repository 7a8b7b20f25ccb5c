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

/// Makes a new version, numbered after all earlier ones, deleted ones too. `None`: the user has `most` others.
pub async fn create(pool: &PgPool, user: UserNr, algorithm: &str, auth_data: &str, most: i64) -> Result<Option<i64>> {
    // Of those deleted the newest number is enough.
    let sql = "with gone as (delete from key_backup where usr = $1 and deleted
                              and version < (select max(version) from key_backup where usr = $1))
               insert into key_backup (usr, version, algorithm, auth_data, sessions, bytes, counted_etag)
               select $1, coalesce(max(version), 0) + 1, $2, $3, 0, 0, 0 from key_backup where usr = $1
               having count(*) filter (where not deleted) < $4 returning version";
    let created = sqlx::query_scalar(sql).bind(user).bind(algorithm).bind(auth_data).bind(most);
    Ok(created.fetch_optional(pool).await?)
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

/// What a change did to the sessions of a version.
#[derive(Debug, Clone, Copy, Default, FromRow)]
pub struct Change {
    /// How many are others now, new ones included.
    pub changed: i64,
    pub more: i64,
    pub more_bytes: i64,
}

/// Stores sessions where they are better than what is there: verified before unverified, then the lower first index, then
/// the lower forwarded count.
pub async fn put(conn: &mut PgConnection, user: UserNr, version: i64, sessions: &[Session]) -> Result<Change> {
    let sql = "with u as materialized (select * from unnest($3::text[], $4::text[], $5::bigint[], $6::bigint[], $7::boolean[], $8::text[])
                     as u (room_id, session_id, first_message_index, forwarded_count, is_verified, session_data)),
                    old as materialized (
                        select s.room_id, s.session_id, octet_length(s.session_data) as bytes
                          from u join key_backup_session s on s.usr = $1 and s.version = $2
                                                          and s.room_id = u.room_id and s.session_id = u.session_id),
                    stored as (
                        insert into key_backup_session as s
                            (usr, version, room_id, session_id, first_message_index, forwarded_count, is_verified, session_data)
                        select $1, $2, u.* from u
                        on conflict (usr, version, room_id, session_id) do update
                           set first_message_index = excluded.first_message_index, forwarded_count = excluded.forwarded_count,
                               is_verified = excluded.is_verified, session_data = excluded.session_data
                         where (excluded.is_verified and not s.is_verified)
                            or (excluded.is_verified = s.is_verified
                                and (excluded.first_message_index, excluded.forwarded_count)
                                  < (s.first_message_index, s.forwarded_count))
                        returning room_id, session_id, octet_length(session_data) as bytes)
               select count(*) as changed, count(*) filter (where old.bytes is null) as more,
                      coalesce(sum(stored.bytes - coalesce(old.bytes, 0)), 0)::bigint as more_bytes
                 from stored left join old on old.room_id = stored.room_id and old.session_id = stored.session_id";
    Ok(sqlx::query_as(sql)
        .bind(user)
        .bind(version)
        .bind(sessions.iter().map(|s| &*s.room_id).collect::<Vec<_>>())
        .bind(sessions.iter().map(|s| &*s.session_id).collect::<Vec<_>>())
        .bind(sessions.iter().map(|s| s.first_message_index).collect::<Vec<_>>())
        .bind(sessions.iter().map(|s| s.forwarded_count).collect::<Vec<_>>())
        .bind(sessions.iter().map(|s| s.is_verified).collect::<Vec<_>>())
        .bind(sessions.iter().map(|s| &*s.session_data).collect::<Vec<_>>())
        .fetch_one(conn)
        .await?)
}

/// Up to `limit` sessions of a version behind a place, by room and session; those of one room, where one is named.
pub async fn page(
    pool: &PgPool,
    user: UserNr,
    version: i64,
    room_id: Option<&str>,
    after: (&str, &str),
    limit: i64,
) -> Result<Vec<Session>> {
    let sql = "select room_id, session_id, first_message_index, forwarded_count, is_verified, session_data
                 from key_backup_session
                where usr = $1 and version = $2 and ($3::text is null or room_id = $3) and (room_id, session_id) > ($4, $5)
                order by room_id, session_id limit $6";
    let page = sqlx::query_as(sql).bind(user).bind(version).bind(room_id).bind(after.0).bind(after.1).bind(limit);
    Ok(page.fetch_all(pool).await?)
}

/// One session.
pub async fn session(
    pool: &PgPool,
    user: UserNr,
    version: i64,
    room_id: &str,
    session_id: &str,
) -> Result<Option<Session>> {
    let sql = "select room_id, session_id, first_message_index, forwarded_count, is_verified, session_data
                 from key_backup_session where usr = $1 and version = $2 and room_id = $3 and session_id = $4";
    Ok(sqlx::query_as(sql).bind(user).bind(version).bind(room_id).bind(session_id).fetch_optional(pool).await?)
}

/// Deletes the sessions of a version, of one room, or one session.
pub async fn delete_sessions(
    conn: &mut PgConnection,
    user: UserNr,
    version: i64,
    room_id: Option<&str>,
    session_id: Option<&str>,
) -> Result<Change> {
    let sql = "with gone as (
                   delete from key_backup_session where usr = $1 and version = $2
                      and ($3::text is null or room_id = $3) and ($4::text is null or session_id = $4)
                   returning octet_length(session_data) as bytes)
               select count(*) as changed, -count(*) as more, -coalesce(sum(bytes), 0)::bigint as more_bytes from gone";
    let gone = sqlx::query_as(sql).bind(user).bind(version).bind(room_id).bind(session_id);
    Ok(gone.fetch_one(conn).await?)
}

/// Moves the etag on, if anything changed, and returns it with the number of sessions. The version is locked, and was
/// [`count`]ed.
pub async fn touch(conn: &mut PgConnection, user: UserNr, version: i64, change: Change) -> Result<(i64, i64)> {
    let sql = "update key_backup set etag = etag + least($3, 1), counted_etag = etag + least($3, 1),
                      sessions = sessions + $4, bytes = bytes + $5 where usr = $1 and version = $2 returning etag, sessions";
    let touched = sqlx::query_as(sql).bind(user).bind(version).bind(change.changed).bind(change.more);
    Ok(touched.bind(change.more_bytes).fetch_one(conn).await?)
}

/// How many sessions a version has; counted anew only where nobody did since the last change.
pub async fn count(conn: &mut PgConnection, user: UserNr, version: i64) -> Result<i64> {
    let known = "select sessions from key_backup where usr = $1 and version = $2 and counted_etag = etag";
    if let Some(sessions) = sqlx::query_scalar(known).bind(user).bind(version).fetch_optional(&mut *conn).await? {
        return Ok(sessions);
    }
    let anew = "update key_backup set counted_etag = etag, sessions = c.sessions, bytes = c.bytes from (
                    select count(*) as sessions, coalesce(sum(octet_length(session_data)), 0)::bigint as bytes
                      from key_backup_session where usr = $1 and version = $2) as c
                 where usr = $1 and version = $2 returning key_backup.sessions";
    Ok(sqlx::query_scalar(anew).bind(user).bind(version).fetch_optional(conn).await?.unwrap_or(0))
}

/// How many sessions a user keeps in all versions, and how many bytes they take, as far as they are counted.
pub async fn usage(conn: &mut PgConnection, user: UserNr) -> Result<(i64, i64)> {
    let sql = "select coalesce(sum(sessions), 0)::bigint, coalesce(sum(bytes), 0)::bigint from key_backup
                where usr = $1 and not deleted";
    Ok(sqlx::query_as(sql).bind(user).fetch_one(conn).await?)
}
