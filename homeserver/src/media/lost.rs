//! Media whose files are lost: found and forgotten, by commands and beside the nodes.

use std::path::Path;

use sqlx::PgPool;

use super::folder::nested;
use crate::storage::{self, media};

/// Rows that are read at once.
const PAGE: i64 = 1_000;

/// Why a medium is not forgotten.
#[derive(Debug, thiserror::Error)]
pub enum ForgetError {
    #[error("{0}: there is no such medium")]
    Unknown(String),
    #[error("{0}: its file is there; only what is lost is forgotten")]
    NotLost(String),
    #[error(transparent)]
    Storage(#[from] storage::Error),
}

/// The IDs of media whose files are not in `folder`.
///
/// # Errors
/// The database's own.
pub async fn missing_files(pool: &PgPool, folder: &Path) -> storage::Result<Vec<String>> {
    let (mut missing, mut after) = (Vec::new(), String::new());
    loop {
        let page = media::page(pool, &after, PAGE).await?;
        let Some((last, _)) = page.last() else { return Ok(missing) };
        after.clone_from(last);
        missing.extend(page.into_iter().filter(|(_, file)| !nested(folder, file).exists()).map(|(id, _)| id));
    }
}

/// Forgets a medium whose file is lost: whoever asks for it learns that there is none, and backups are whole again.
///
/// # Errors
/// See [`ForgetError`].
pub async fn forget_lost(pool: &PgPool, folder: &Path, id: &str) -> Result<(), ForgetError> {
    let unknown = || ForgetError::Unknown(id.to_owned());
    let row = media::get(pool, id).await?.ok_or_else(unknown)?;
    if nested(folder, &row.file).exists() {
        return Err(ForgetError::NotLost(id.to_owned()));
    }
    if media::forget(pool, id).await? { Ok(()) } else { Err(unknown()) }
}
