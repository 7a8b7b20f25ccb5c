//! The media folder: `ab/cd/NAME` for whole files, `thumbnails/ab/cd/NAME/…` for small pictures made of them,
//! `incoming/NAME` for what is on its way.
//!
//! The one place that knows where bytes lie: what stands here, over names, is what storage in objects instead of files
//! has to offer, too.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use futures::{Stream, StreamExt};
use tokio::{
    fs::{self, File},
    io::AsyncWriteExt,
    time::timeout,
};

use super::UploadError;
use crate::random;

#[derive(Debug)]
pub(super) struct Folder(PathBuf);

/// Where files lie that are on their way.
const INCOMING: &str = "incoming";
/// Where small pictures lie.
const THUMBNAILS: &str = "thumbnails";
/// The longest pause between two pieces of an upload.
const PATIENCE: Duration = Duration::from_secs(60);
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
    pub async fn open(path: PathBuf) -> std::io::Result<Self> {
        let incoming = path.join(INCOMING);
        fs::create_dir_all(&incoming).await?;
        sweep(&incoming).await?;
        Ok(Self(path))
    }

    /// Where the bytes of `name` lie.
    pub fn path(&self, name: &str) -> PathBuf {
        nested(&self.0, name)
    }

    fn thumbnail_path(&self, name: &str, size: &str) -> PathBuf {
        nested(&self.0.join(THUMBNAILS), name).join(size)
    }

    /// Takes a file in. It is whole and on disk then, and gone when it is dropped.
    pub async fn receive<E>(
        &self,
        mut body: impl Stream<Item = Result<Bytes, E>> + Unpin,
        limit: u64,
    ) -> Result<Arrived, UploadError> {
        let name = random::name(24);
        let incoming = Incoming(self.0.join(INCOMING).join(&name));
        let mut file = File::create_new(&incoming.0).await.map_err(io)?;
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
        let parent = path.parent().unwrap_or(&self.0);
        fs::create_dir_all(parent).await.map_err(io)?;
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
        drop(fs::remove_dir_all(nested(&self.0.join(THUMBNAILS), name)).await);
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
        let incoming = Incoming(self.0.join(INCOMING).join(random::name(24)));
        fs::write(&incoming.0, bytes).await?;
        let path = self.thumbnail_path(name, size);
        fs::create_dir_all(path.parent().unwrap_or(&self.0)).await?;
        fs::rename(&incoming.0, &path).await
    }
}

/// Two levels of 2,704 folders at most: a name's first letters are random.
fn nested(base: &Path, name: &str) -> PathBuf {
    base.join(&name[..2]).join(&name[2..4]).join(name)
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
