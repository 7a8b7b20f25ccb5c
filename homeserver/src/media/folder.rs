//! The media folder: `ab/cd/NAME` for whole files, `incoming/NAME` for what is on its way.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use futures::{Stream, StreamExt};
use tokio::{
    fs::{self, File},
    io::AsyncWriteExt,
};

use super::UploadError;
use crate::random;

#[derive(Debug)]
pub(super) struct Folder(PathBuf);

/// A file in its place.
pub(super) struct Stored {
    pub id: String,
    pub size: u64,
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
        fs::create_dir_all(path.join("incoming")).await?;
        Ok(Self(path))
    }

    fn place(&self, id: &str) -> PathBuf {
        // Two levels of 4,096 folders at most; the name's first letters are random.
        self.0.join(&id[..2]).join(&id[2..4]).join(id)
    }

    pub async fn store<E>(
        &self,
        mut body: impl Stream<Item = Result<Bytes, E>> + Unpin,
        limit: u64,
    ) -> Result<Stored, UploadError> {
        let id = random::name(24);
        let incoming = Incoming(self.0.join("incoming").join(&id));
        let mut file = File::create_new(&incoming.0).await.map_err(io)?;
        let mut size = 0_u64;
        while let Some(chunk) = body.next().await {
            let chunk = chunk.map_err(|_| UploadError::CutOff)?;
            size += chunk.len() as u64;
            if size > limit {
                return Err(UploadError::TooLarge { limit });
            }
            file.write_all(&chunk).await.map_err(io)?;
        }
        file.flush().await.map_err(io)?;
        file.sync_all().await.map_err(io)?;
        let place = self.place(&id);
        let parent = place.parent().unwrap_or(&self.0);
        fs::create_dir_all(parent).await.map_err(io)?;
        fs::rename(&incoming.0, &place).await.map_err(io)?;
        sync_folder(parent).await.map_err(io)?;
        Ok(Stored { id, size })
    }

    pub async fn read(&self, id: &str) -> std::io::Result<File> {
        File::open(self.place(id)).await
    }

    pub async fn remove(&self, id: &str) {
        if let Err(error) = fs::remove_file(self.place(id)).await {
            tracing::warn!(%error, media = id, "a file without a row was left behind");
        }
    }
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
