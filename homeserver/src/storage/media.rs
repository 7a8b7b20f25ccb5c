//! What is known of media; the bytes lie in files.

use sqlx::{FromRow, PgPool};

use super::{Result, UserNr};

/// An uploaded medium.
#[derive(Debug, Clone, FromRow)]
pub struct Row {
    pub id: String,
    pub content_type: Option<String>,
    pub filename: Option<String>,
    pub size: i64,
}

/// Records an upload whose file is in its place.
pub async fn put(pool: &PgPool, user: UserNr, row: &Row, now: i64) -> Result<()> {
    let sql = "insert into media (id, usr, content_type, filename, size, created_ts) values ($1, $2, $3, $4, $5, $6)";
    sqlx::query(sql)
        .bind(&row.id)
        .bind(user)
        .bind(&row.content_type)
        .bind(&row.filename)
        .bind(row.size)
        .bind(now)
        .execute(pool)
        .await?;
    Ok(())
}

/// Finds a medium.
pub async fn get(pool: &PgPool, id: &str) -> Result<Option<Row>> {
    Ok(sqlx::query_as("select id, content_type, filename, size from media where id = $1")
        .bind(id)
        .fetch_optional(pool)
        .await?)
}
