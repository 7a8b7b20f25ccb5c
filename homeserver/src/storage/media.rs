//! What is known of media; the bytes lie in files.

use sqlx::{FromRow, PgConnection, PgExecutor, PgPool};

use super::{Result, Sym, UserNr};

/// A medium whose bytes are there.
#[derive(Debug, Clone, FromRow)]
pub struct Row {
    pub id: String,
    /// Where the bytes lie in the folder.
    pub file: String,
    pub content_type: Option<String>,
    pub filename: Option<String>,
    pub size: i64,
    /// When it came to this server.
    pub created_ts: i64,
}

/// An ID that waits for its upload.
#[derive(Debug, Clone, Copy, FromRow)]
pub struct Pending {
    pub usr: UserNr,
    pub expires_ts: i64,
}

/// The folder that all nodes share.
#[derive(Debug, Clone, FromRow)]
pub struct SharedFolder {
    pub id: String,
    /// What came before is served without an access token.
    pub frozen_ts: i64,
}

/// What became of a medium that was to be recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    Stored,
    /// The user's uploads would take more than they may.
    OverQuota,
    /// No ID waits for it: another upload was first.
    NotAwaited,
}

/// Whose media the pictures of previews are: nobody's. Interned strings have numbers above it.
const PREVIEWS: UserNr = Sym(0);

/// Records an upload whose file is in its place; with `awaited` under an ID that waits for it.
///
/// Uploads of one user that end at the same time, on whatever node, are taken one after the other where there is a quota:
/// each counts those before it.
pub async fn put(pool: &PgPool, user: UserNr, row: &Row, awaited: bool, quota: Option<i64>) -> Result<Put> {
    let Some(quota) = quota else { return insert(&mut *pool.acquire().await?, user, row, awaited).await };
    let mut transaction = pool.begin().await?;
    let turn = "select pg_advisory_xact_lock(hashtextextended('roost media ' || $1::text, 0))";
    sqlx::query(turn).bind(user).execute(&mut *transaction).await?;
    // A statement after the lock's: its view of the database begins when the lock is held.
    let used: i64 = usage(&mut *transaction, user).await?;
    if used.saturating_add(row.size) > quota {
        return Ok(Put::OverQuota);
    }
    let put = insert(&mut transaction, user, row, awaited).await?;
    transaction.commit().await?;
    Ok(put)
}

async fn insert(conn: &mut PgConnection, user: UserNr, row: &Row, awaited: bool) -> Result<Put> {
    let sql = if awaited {
        "with waited as (delete from media_pending where id = $1 and usr = $2 returning id) \
         insert into media (id, usr, file, content_type, filename, size, created_ts) \
         select id, $2, $3, $4, $5, $6, $7 from waited"
    } else {
        "insert into media (id, usr, file, content_type, filename, size, created_ts) values ($1, $2, $3, $4, $5, $6, $7)"
    };
    let query = sqlx::query(sql)
        .bind(&row.id)
        .bind(user)
        .bind(&row.file)
        .bind(&row.content_type)
        .bind(&row.filename)
        .bind(row.size)
        .bind(row.created_ts);
    let stored = query.execute(conn).await?.rows_affected() == 1;
    Ok(if stored { Put::Stored } else { Put::NotAwaited })
}

/// Records a preview's picture, or that it was seen again; returns the file that the row names.
pub async fn put_preview(pool: &PgPool, row: &Row) -> Result<String> {
    let sql = "insert into media as m (id, usr, file, content_type, size, created_ts) values ($1, $2, $3, $4, $5, $6) \
               on conflict (id) do update set created_ts = greatest(m.created_ts, excluded.created_ts) \
               returning coalesce(m.file, m.id)";
    let query = sqlx::query_scalar(sql)
        .bind(&row.id)
        .bind(PREVIEWS)
        .bind(&row.file)
        .bind(&row.content_type)
        .bind(row.size)
        .bind(row.created_ts);
    Ok(query.fetch_one(pool).await?)
}

/// Gives a preview's picture another file, where the one that it had is gone. `false`: it has another one already.
pub async fn replace_preview(pool: &PgPool, id: &str, gone: &str, file: &str) -> Result<bool> {
    let sql = "update media set file = $4 where id = $1 and usr = $2 and file = $3";
    let query = sqlx::query(sql).bind(id).bind(PREVIEWS).bind(gone).bind(file);
    Ok(query.execute(pool).await?.rows_affected() == 1)
}

/// Forgets pictures of previews that were last seen before `before`, some at a time; returns their files.
pub async fn forget_previews(pool: &PgPool, before: i64) -> Result<Vec<String>> {
    let sql = "delete from media where usr = $1 and created_ts < $2 and id in \
               (select id from media where usr = $1 and created_ts < $2 order by created_ts limit 500) \
               returning coalesce(file, id)";
    Ok(sqlx::query_scalar(sql).bind(PREVIEWS).bind(before).fetch_all(pool).await?)
}

/// Finds a medium of this server's users.
pub async fn get(pool: &PgPool, id: &str) -> Result<Option<Row>> {
    let sql =
        "select id, coalesce(file, id) as file, content_type, filename, size, created_ts from media where id = $1";
    Ok(sqlx::query_as(sql).bind(id).fetch_optional(pool).await?)
}

/// Finds a medium that was fetched from another server.
pub async fn get_remote(pool: &PgPool, server: &str, id: &str) -> Result<Option<Row>> {
    let sql =
        "select id, file, content_type, filename, size, created_ts from remote_media where server = $1 and id = $2";
    Ok(sqlx::query_as(sql).bind(server).bind(id).fetch_optional(pool).await?)
}

/// What a user's uploads take, in bytes.
pub async fn usage(db: impl PgExecutor<'_>, user: UserNr) -> Result<i64> {
    let sql = "select coalesce(sum(size), 0)::bigint from media where usr = $1";
    Ok(sqlx::query_scalar(sql).bind(user).fetch_one(db).await?)
}

/// Gives out an ID, unless the user has `most` that wait. Returns whether it did.
pub async fn reserve(pool: &PgPool, id: &str, user: UserNr, most: i64, now: i64, expires: i64) -> Result<bool> {
    let sql = "insert into media_pending (id, usr, expires_ts) select $1, $2, $3 \
               where (select count(*) from media_pending where usr = $2 and expires_ts > $4) < $5";
    let query = sqlx::query(sql).bind(id).bind(user).bind(expires).bind(now).bind(most);
    Ok(query.execute(pool).await?.rows_affected() == 1)
}

/// When the first of the user's IDs expires that wait now.
pub async fn next_expiry(pool: &PgPool, user: UserNr, now: i64) -> Result<Option<i64>> {
    let sql = "select min(expires_ts) from media_pending where usr = $1 and expires_ts > $2";
    Ok(sqlx::query_scalar(sql).bind(user).bind(now).fetch_one(pool).await?)
}

/// An ID that waits, expired ones included.
pub async fn pending(pool: &PgPool, id: &str) -> Result<Option<Pending>> {
    let sql = "select usr, expires_ts from media_pending where id = $1";
    Ok(sqlx::query_as(sql).bind(id).fetch_optional(pool).await?)
}

/// Forgets IDs that expired before `before`.
pub async fn forget_expired(pool: &PgPool, before: i64) -> Result<()> {
    sqlx::query("delete from media_pending where expires_ts < $1").bind(before).execute(pool).await?;
    Ok(())
}

/// ID and file of media that local users uploaded, after `after` by ID, `limit` at most.
pub async fn page(pool: &PgPool, after: &str, limit: i64) -> Result<Vec<(String, String)>> {
    let sql = "select id, coalesce(file, id) from media where usr <> 0 and id > $1 order by id limit $2";
    Ok(sqlx::query_as(sql).bind(after).bind(limit).fetch_all(pool).await?)
}

/// Forgets a medium. `false`: there is none.
pub async fn forget(pool: &PgPool, id: &str) -> Result<bool> {
    Ok(sqlx::query("delete from media where id = $1").bind(id).execute(pool).await?.rows_affected() == 1)
}

/// The folder that all nodes share. `None`: none was ever used.
pub async fn folder(pool: &PgPool) -> Result<Option<SharedFolder>> {
    Ok(sqlx::query_as("select id, frozen_ts from media_folder").fetch_optional(pool).await?)
}

/// The folder that all nodes share; `id` becomes it where there is none yet.
pub async fn claim_folder(pool: &PgPool, id: &str, now: i64) -> Result<SharedFolder> {
    let insert = "insert into media_folder (id, frozen_ts) values ($1, $2) on conflict do nothing";
    sqlx::query(insert).bind(id).bind(now).execute(pool).await?;
    Ok(sqlx::query_as("select id, frozen_ts from media_folder").fetch_one(pool).await?)
}
