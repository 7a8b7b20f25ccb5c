//! The media folder: `ab/cd/NAME` for whole files, `thumbnails/ab/cd/NAME/…` for small pictures made of them,
//! `incoming/NAME` for what is on its way.
//!
//! The one place that knows where bytes lie: what stands here, over names, is what storage in objects instead of files
//! has to offer, too.

use std::{
    fs::Permissions,
    io::ErrorKind,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::{PoisonError, RwLock},
    time::Duration,
};

use bytes::Bytes;
use futures::{Stream, StreamExt};
use nix::sys::statvfs::statvfs;
use tokio::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::AsyncWriteExt,
    time::timeout,
};

use super::{UploadError, marker};
use crate::{metrics, random};

#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    /// The mark of the folder that all nodes share.
    shared: String,
    /// Why nothing may be put here at this moment.
    trouble: RwLock<Option<Trouble>>,
}

/// Why nothing may be put into the folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// It is not the one of all nodes: half a sentence on what to do.
    Apart(&'static str),
    /// It can't be looked at.
    Unreadable(String),
    /// PostgreSQL may lie on the same disk, and must not run out of room first.
    NoRoom,
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Apart(advice) => write!(f, "the media folder {advice}"),
            Self::Unreadable(error) => write!(f, "the media folder can't be read: {error}"),
            Self::NoRoom => write!(f, "the media folder's disk is nearly full: it takes no uploads"),
        }
    }
}

/// Where files lie that are on their way.
const INCOMING: &str = "incoming";
/// Where small pictures lie.
const THUMBNAILS: &str = "thumbnails";
/// The longest pause between two pieces of an upload.
const PATIENCE: Duration = Duration::from_secs(60);
/// Uploads leave so much of the disk to others, or a tenth of a small one: PostgreSQL may lie there, too.
const RESERVE: u64 = 512 << 20;
/// What is older in there was left by a process that died.
const LEFT_BEHIND: Duration = Duration::from_secs(24 * 60 * 60);

/// A file that is whole, and not in its place yet.
pub(super) struct Arrived {
    /// A name that no other file has.
    pub name: String,
    pub size: u64,
    incoming: Incoming,
}

impl Arrived {
    /// Where it lies until it is put into its place.
    pub fn path(&self) -> &Path {
        &self.incoming.0
    }
}

/// Removes an incoming file unless it was moved to its place: an upload may end at any await.
struct Incoming(PathBuf);

impl Drop for Incoming {
    fn drop(&mut self) {
        // Gone already where it was moved.
        drop(std::fs::remove_file(&self.0));
    }
}

impl Folder {
    /// Makes the folder, closed to others.
    pub async fn make(path: &Path) -> std::io::Result<()> {
        let incoming = path.join(INCOMING);
        make_folders(&incoming).await?;
        close_to_others(path).await;
        sweep(&incoming).await
    }

    /// A folder that was made; `shared` marks the one that all nodes share.
    pub fn open(path: PathBuf, shared: String) -> Self {
        let folder = Self { path, shared, trouble: RwLock::default() };
        folder.look();
        folder
    }

    /// Looks again whether anything may be put here; what changed is logged.
    pub fn look(&self) {
        let found = match marker::standing(&self.shared, &self.path) {
            Ok(standing) => standing.advice().map(Trouble::Apart),
            Err(error) => Some(Trouble::Unreadable(error.to_string())),
        };
        let found = found.or_else(|| (!has_room(&self.path)).then_some(Trouble::NoRoom));
        metrics::MEDIA_WRITABLE.set(i64::from(found.is_none()));
        let before =
            std::mem::replace(&mut *self.trouble.write().unwrap_or_else(PoisonError::into_inner), found.clone());
        match (&before, &found) {
            (before, Some(trouble)) if before.as_ref() != Some(trouble) => {
                tracing::error!(folder = %self.path.display(), "{trouble}");
            }
            (Some(_), None) => tracing::info!(folder = %self.path.display(), "the media folder takes uploads again"),
            _ => {}
        }
    }

    /// Why nothing may be put here at this moment.
    pub fn trouble(&self) -> Option<Trouble> {
        self.trouble.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Where the bytes of `name` lie.
    pub fn path(&self, name: &str) -> PathBuf {
        nested(&self.path, name)
    }

    fn thumbnail_path(&self, name: &str, size: &str) -> PathBuf {
        nested(&self.path.join(THUMBNAILS), name).join(size)
    }

    /// Takes a file in. It is whole and on disk then, and gone when it is dropped.
    pub async fn receive<E>(
        &self,
        mut body: impl Stream<Item = Result<Bytes, E>> + Unpin,
        limit: u64,
    ) -> Result<Arrived, UploadError> {
        match self.trouble() {
            None => {}
            Some(Trouble::NoRoom) => return Err(UploadError::DiskFull),
            Some(trouble) => return Err(UploadError::Apart(trouble.to_string())),
        }
        let name = random::name(24);
        let incoming = Incoming(self.path.join(INCOMING).join(&name));
        let mut file = new_file(&incoming.0).await.map_err(io)?;
        let mut size = 0_u64;
        while let Some(chunk) = timeout(PATIENCE, body.next()).await.map_err(|_| UploadError::Stalled)? {
            let chunk = chunk.map_err(|_| UploadError::CutOff)?;
            size += chunk.len() as u64;
            if size > limit {
                return Err(UploadError::TooLarge { limit });
            }
            file.write_all(&chunk).await.map_err(io)?;
        }
        file.flush().await.map_err(io)?;
        file.sync_all().await.map_err(io)?;
        Ok(Arrived { name, size, incoming })
    }

    /// Puts a file that came in into its place.
    pub async fn place(&self, arrived: &Arrived) -> Result<(), UploadError> {
        let path = self.path(&arrived.name);
        let parent = path.parent().unwrap_or(&self.path);
        make_folders(parent).await.map_err(io)?;
        fs::rename(&arrived.incoming.0, &path).await.map_err(io)?;
        if let Err(error) = sync_folder(parent).await {
            self.remove(&arrived.name).await;
            return Err(io(error));
        }
        Ok(())
    }

    pub async fn read(&self, name: &str) -> std::io::Result<File> {
        File::open(self.path(name)).await
    }

    pub async fn remove(&self, name: &str) {
        if let Err(error) = fs::remove_file(self.path(name)).await {
            tracing::warn!(%error, media = name, "a file without a row was left behind");
        }
    }

    /// Removes the small pictures that were made of a file.
    pub async fn remove_thumbnails(&self, name: &str) {
        // As a rule none were made.
        drop(fs::remove_dir_all(nested(&self.path.join(THUMBNAILS), name)).await);
    }

    /// A small picture that was made before, with its length. `None`: it was not.
    pub async fn thumbnail(&self, name: &str, size: &str) -> std::io::Result<Option<(File, u64)>> {
        match File::open(self.thumbnail_path(name, size)).await {
            Ok(file) => {
                let length = file.metadata().await?.len();
                Ok(Some((file, length)))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Keeps a small picture. It can be made again: nothing waits for the disk.
    pub async fn keep_thumbnail(&self, name: &str, size: &str, bytes: &[u8]) -> std::io::Result<()> {
        if self.trouble().is_some() {
            return Ok(());
        }
        let incoming = Incoming(self.path.join(INCOMING).join(random::name(24)));
        let mut file = new_file(&incoming.0).await?;
        file.write_all(bytes).await?;
        file.flush().await?;
        let path = self.thumbnail_path(name, size);
        make_folders(path.parent().unwrap_or(&self.path)).await?;
        fs::rename(&incoming.0, &path).await
    }
}

/// Two levels of 2,704 folders at most: a name's first letters are random.
pub(super) fn nested(base: &Path, name: &str) -> PathBuf {
    base.join(&name[..2]).join(&name[2..4]).join(name)
}

async fn make_folders(path: &Path) -> std::io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).await
}

async fn new_file(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).await
}

/// A folder that anybody may enter was made by an earlier version, under the caller's umask.
async fn close_to_others(path: &Path) {
    let Ok(found) = fs::metadata(path).await else { return };
    if found.permissions().mode() & 0o007 != 0
        && let Err(error) = fs::set_permissions(path, Permissions::from_mode(0o700)).await
    {
        tracing::warn!(folder = %path.display(), %error, "the media folder is open to others");
    }
}

/// Whether enough is left for what must be written.
fn has_room(path: &Path) -> bool {
    // What can't be asked is found out by writing.
    statvfs(path).map_or(true, |found| {
        #[expect(clippy::useless_conversion, reason = "the widths differ between systems")]
        let bytes = |blocks| u64::from(blocks) * u64::from(found.fragment_size());
        let free = bytes(found.blocks_available());
        metrics::MEDIA_FREE.set(i64::try_from(free).unwrap_or(i64::MAX));
        free >= RESERVE.min(bytes(found.blocks()) / 10)
    })
}

/// Removes what killed processes left. Other nodes may be uploading: what is young is theirs.
async fn sweep(incoming: &Path) -> std::io::Result<()> {
    let mut entries = fs::read_dir(incoming).await?;
    while let Some(entry) = entries.next_entry().await? {
        let Ok(metadata) = entry.metadata().await else { continue };
        let age = metadata.modified().ok().and_then(|written| written.elapsed().ok());
        if age.is_some_and(|age| age > LEFT_BEHIND) {
            // Another node may have been faster.
            drop(fs::remove_file(entry.path()).await);
        }
    }
    Ok(())
}

/// A rename is on disk when its folder is.
async fn sync_folder(path: &Path) -> std::io::Result<()> {
    File::open(path).await?.sync_all().await
}

fn io(error: std::io::Error) -> UploadError {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => UploadError::DiskFull,
        _ => UploadError::Io(error),
    }
}
