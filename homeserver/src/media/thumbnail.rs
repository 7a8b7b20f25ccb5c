//! Thumbnails: made when first asked for, and kept.

use std::{num::NonZero, thread::available_parallelism, time::Duration};

use ruma::ServerName;
use tokio::{
    io::{AsyncReadExt, AsyncSeekExt},
    sync::{Semaphore, SemaphorePermit},
    time::timeout,
};

use super::{
    Access, Download, DownloadError, Media, Wanted,
    picture::{self, Picture, PictureError, content_type},
};
use crate::storage::media;

/// Why there is no thumbnail.
#[derive(Debug, thiserror::Error)]
pub enum ThumbnailError {
    #[error("the picture has more pixels than this server works on")]
    TooLarge,
    #[error("this is no picture that this server can read")]
    Unreadable,
    #[error("the server makes too many thumbnails at this moment")]
    Busy,
    #[error(transparent)]
    Download(#[from] DownloadError),
}

/// Where pictures are made smaller: few at once, for each takes a core and up to 256 MB; and who waits is bounded.
pub(super) struct Studio {
    places: Semaphore,
    queue: Semaphore,
}

/// How many may wait.
const QUEUE: usize = 500;
/// For how long.
const PATIENCE: Duration = Duration::from_secs(30);

impl Studio {
    pub fn new() -> Self {
        let cores = available_parallelism().map_or(1, NonZero::get);
        Self { places: Semaphore::new((cores / 2).clamp(1, 4)), queue: Semaphore::new(QUEUE) }
    }

    async fn enter(&self) -> Result<SemaphorePermit<'_>, ThumbnailError> {
        let _queued = self.queue.try_acquire().map_err(|_| ThumbnailError::Busy)?;
        let place = timeout(PATIENCE, self.places.acquire()).await.map_err(|_| ThumbnailError::Busy)?;
        place.map_err(|_| ThumbnailError::Busy)
    }
}

impl Media {
    /// A small picture of a medium, of at least the wanted size; the medium itself where it is no larger.
    ///
    /// # Errors
    /// See [`ThumbnailError`].
    pub async fn thumbnail(
        &self,
        access: Access,
        server_name: &ServerName,
        id: &str,
        wanted: Wanted,
        patience: Duration,
    ) -> Result<Download, ThumbnailError> {
        let row = self.find(access, server_name, id, patience).await?;
        let wanted = wanted.rounded();
        if let Some(kept) = self.kept(&row, wanted).await? {
            return Ok(kept);
        }
        // Many ask for a new picture at once: those who waited find it made.
        let _place = self.0.studio.enter().await?;
        if let Some(kept) = self.kept(&row, wanted).await? {
            return Ok(kept);
        }
        match self.make(&row, wanted).await? {
            Picture::SmallEnough => Ok(self.open_file(row).await?),
            Picture::Made(bytes) => {
                let kept = self.0.folder.keep_thumbnail(&row.file, &wanted.name(), &bytes).await;
                kept.map_err(DownloadError::Io)?;
                Ok(self.kept(&row, wanted).await?.ok_or(DownloadError::NotFound)?)
            }
        }
    }

    async fn kept(&self, row: &media::Row, wanted: Wanted) -> Result<Option<Download>, DownloadError> {
        let name = wanted.name();
        let Some((mut file, size)) = self.0.folder.thumbnail(&row.file, &name).await? else { return Ok(None) };
        let mut first = [0; 4];
        file.read_exact(&mut first).await?;
        file.rewind().await?;
        let tag = format!("{}-{name}", row.file);
        Ok(Some(Download::of_thumbnail(file, size, content_type(&first), tag)))
    }

    async fn make(&self, row: &media::Row, wanted: Wanted) -> Result<Picture, ThumbnailError> {
        let path = self.0.folder.path(&row.file);
        // A decoder that panics is one that can't read the picture.
        let made = tokio::task::spawn_blocking(move || picture::shrink(&path, wanted)).await;
        made.unwrap_or(Err(PictureError::Unreadable)).map_err(|error| match error {
            PictureError::TooLarge => ThumbnailError::TooLarge,
            PictureError::Unreadable => ThumbnailError::Unreadable,
            PictureError::Io(error) => DownloadError::Io(error).into(),
        })
    }
}
