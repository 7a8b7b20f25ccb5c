//! The marker: a small file by which nodes know whether their folders are one.
//!
//! Several nodes name one shared folder. A node whose folder is not the others' would take uploads that nobody else
//! finds: it takes none, is not ready and says why, for as long as that is so. `roost doctor` asks the same question.

use std::{
    fs::OpenOptions,
    io::{ErrorKind, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use sqlx::PgPool;

use crate::{
    clock::now_ms,
    random,
    storage::{self, media},
};

/// The marker's name in the folder.
const MARKER: &str = "roost-media-id";

/// How a folder stands to the one that the database knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FolderStanding {
    /// It is the one that all nodes share.
    Shared,
    /// No node has used any yet.
    Unclaimed,
    /// There is a shared folder, and this one has no marker: not mounted, or moved without it.
    Unmarked,
    /// It belongs to another server, or to nodes that do not share.
    Foreign,
}

impl FolderStanding {
    /// Half a sentence for an operator, on what is wrong and what to do; `None` where nothing is.
    pub fn advice(self) -> Option<&'static str> {
        match self {
            Self::Shared | Self::Unclaimed => None,
            Self::Unmarked => Some(
                "has no file `roost-media-id`: it is not the folder that this server's media lie in. Is it mounted? All \
                 nodes must name one shared folder in `media.path`; a folder that was moved must be moved whole",
            ),
            Self::Foreign => Some(
                "is not the folder that the other nodes use, or belongs to another server. All nodes must name one \
                 shared folder in `media.path`",
            ),
        }
    }
}

/// Why it can't be said how a folder stands.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    #[error("its marker can't be read or written: {0}")]
    Io(#[from] std::io::Error),
    #[error("no HTTP client can be made: {0}")]
    Client(#[from] reqwest::Error),
    #[error(transparent)]
    Storage(#[from] storage::Error),
}

/// How `folder` stands to the one that the database knows. Changes nothing.
///
/// # Errors
/// See [`FolderError`].
pub async fn folder_standing(pool: &PgPool, folder: &Path) -> Result<FolderStanding, FolderError> {
    let shared = media::folder(pool).await?;
    Ok(compare(shared.as_ref().map(|shared| shared.id.as_str()), read(folder)?.as_deref()))
}

/// At a node's start: the first node's folder becomes the one that all share.
pub(super) async fn claim(pool: &PgPool, folder: &Path) -> Result<media::SharedFolder, FolderError> {
    Ok(match media::folder(pool).await? {
        Some(shared) => shared,
        None => media::claim_folder(pool, &mark(folder)?, now_ms()).await?,
    })
}

/// How `folder` stands to the shared one, now.
pub(super) fn standing(shared: &str, folder: &Path) -> std::io::Result<FolderStanding> {
    Ok(compare(Some(shared), read(folder)?.as_deref()))
}

fn compare(shared: Option<&str>, own: Option<&str>) -> FolderStanding {
    match (shared, own) {
        (None, _) => FolderStanding::Unclaimed,
        (Some(_), None) => FolderStanding::Unmarked,
        (Some(shared), Some(own)) if shared == own => FolderStanding::Shared,
        (Some(_), Some(_)) => FolderStanding::Foreign,
    }
}

fn read(folder: &Path) -> std::io::Result<Option<String>> {
    match std::fs::read_to_string(folder.join(MARKER)) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The folder's mark; a new one where it has none. Of two nodes that start together one is first.
fn mark(folder: &Path) -> std::io::Result<String> {
    if let Some(id) = read(folder)? {
        return Ok(id);
    }
    let id = random::name(24);
    // Written aside, so that nobody ever reads half of it; a link fails where a marker is already.
    let aside = folder.join(format!(".{MARKER}-{id}"));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside)?;
    file.write_all(id.as_bytes())?;
    file.sync_all()?;
    let linked = std::fs::hard_link(&aside, folder.join(MARKER));
    let placed = match linked {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        // A file system without links: a rename may replace the other node's, whose database row then tells.
        Err(_) => return std::fs::rename(&aside, folder.join(MARKER)).map(|()| id),
        Ok(()) => Ok(()),
    };
    std::fs::remove_file(&aside)?;
    placed.and_then(|()| read(folder)).map(|found| found.unwrap_or(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_the_shared_one_or_says_why_not() {
        assert_eq!(compare(None, Some("a")), FolderStanding::Unclaimed);
        assert_eq!(compare(Some("a"), Some("a")), FolderStanding::Shared);
        assert!(compare(Some("a"), None).advice().is_some_and(|advice| advice.contains("mounted")));
        assert!(compare(Some("a"), Some("b")).advice().is_some());
    }

    #[test]
    fn a_mark_stays() {
        let folder = std::env::temp_dir().join(random::name(12));
        std::fs::create_dir(&folder).unwrap();
        assert_eq!(read(&folder).unwrap(), None);
        let id = mark(&folder).unwrap();
        assert_eq!((mark(&folder).unwrap(), read(&folder).unwrap()), (id.clone(), Some(id)));
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
