//! Which schema a database has, and whether this binary may use it.

use sqlx::PgPool;

use super::Result;

/// What a database says of its schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Schema {
    /// The newest migration that ran; 0: none.
    pub version: i64,
    /// The oldest schema that a binary must know.
    pub floor: i64,
}

/// The schema that this binary knows: the number of its newest migration.
pub fn known() -> i64 {
    super::migrations().iter().map(|migration| migration.version).max().unwrap_or_default()
}

/// The schema of a database, which may be empty.
pub async fn of(pool: &PgPool) -> Result<Schema> {
    let mut schema = Schema { version: 0, floor: 0 };
    if exists(pool, "_sqlx_migrations").await? {
        let sql = "select coalesce(max(version), 0) from _sqlx_migrations where success";
        schema.version = sqlx::query_scalar(sql).fetch_one(pool).await?;
    }
    if exists(pool, "schema_floor").await? {
        schema.floor = sqlx::query_scalar("select version from schema_floor").fetch_one(pool).await?;
    }
    Ok(schema)
}

async fn exists(pool: &PgPool, table: &str) -> Result<bool> {
    Ok(sqlx::query_scalar("select to_regclass($1) is not null").bind(table).fetch_one(pool).await?)
}
