//! What a backup asks of the database, and what a restored one needs before it is used.

use sqlx::{PgConnection, PgPool};

use super::{Result, generation};
use crate::clock::now_ms;

/// Begins to see the database as it is now, and names that view for `pg_dump`. Holds as long as the connection lives.
pub async fn begin_snapshot(conn: &mut PgConnection) -> Result<String> {
    sqlx::query("begin transaction isolation level repeatable read read only").execute(&mut *conn).await?;
    Ok(sqlx::query_scalar("select pg_export_snapshot()").fetch_one(conn).await?)
}

/// ID and file of all media that local users uploaded. Pictures of previews are nobody's: they come and go.
pub async fn media_files(conn: &mut PgConnection) -> Result<Vec<(String, String)>> {
    // `file` came with a later migration than `id`.
    let sql = "select m.id, coalesce(to_jsonb(m) ->> 'file', m.id) from media m where m.usr <> 0 order by m.id";
    Ok(sqlx::query_as(sql).fetch_all(conn).await?)
}

/// Whether the signing key can be read only with `secrets.key_file`.
pub async fn is_sealed(conn: &mut PgConnection) -> Result<bool> {
    Ok(sqlx::query_scalar("select exists (select from signing_key where sealed)").fetch_one(conn).await?)
}

/// The server's major version.
pub async fn server_version(pool: &PgPool) -> Result<u32> {
    let number: i32 = sqlx::query_scalar("select current_setting('server_version_num')::int").fetch_one(pool).await?;
    Ok(u32::try_from(number / 10_000).unwrap_or_default())
}

/// The version of TLS that our connections speak; `None`: they are not encrypted.
pub async fn encryption(pool: &PgPool) -> Result<Option<String>> {
    let sql = "select version from pg_stat_ssl where pid = pg_backend_pid() and ssl";
    Ok(sqlx::query_scalar(sql).fetch_optional(pool).await?)
}

/// What the server's clock says, in milliseconds since 1970.
pub async fn clock_ms(pool: &PgPool) -> Result<i64> {
    Ok(sqlx::query_scalar("select (extract(epoch from clock_timestamp()) * 1000)::bigint").fetch_one(pool).await?)
}

/// Whether nothing of anybody's is in the database.
pub async fn is_empty(pool: &PgPool) -> Result<bool> {
    let sql = "select not exists (select from pg_class where relnamespace = 'public'::regnamespace)";
    Ok(sqlx::query_scalar(sql).fetch_one(pool).await?)
}

/// Makes a restored database one of its own: what was handed out after the backup was made is unknown here.
///
/// Sync tokens carry the generation: those of what was lost are cut back to where the backup ended.
pub async fn begin_generation(pool: &PgPool) -> Result<()> {
    let mut transaction = pool.begin().await?;
    let generation = generation::begin(&mut transaction).await?;
    let sql = "insert into generation (nr, began, lost, ts) \
               select $1, coalesce((select max(last) from slice), 0) + 1, true, $2";
    sqlx::query(sql).bind(generation).bind(now_ms()).execute(&mut *transaction).await?;
    generation::forget_given_keys(&mut transaction).await?;
    transaction.commit().await?;
    Ok(())
}
