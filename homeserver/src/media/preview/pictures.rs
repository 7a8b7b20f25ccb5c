//! Pictures of previews, kept as media of this server.
//!
//! They are named after their content, so that one that is seen again is the same medium, and go a week after they were seen
//! last. They are nobody's, and count against nobody's quota.

use std::{fmt::Write as _, path::PathBuf, time::Duration};

use futures::TryStreamExt as _;
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

use super::{MAX_PICTURE, Picture, fetch::Answer};
use crate::{
    clock::now_ms,
    media::{Described, Media, UploadError, folder::Arrived, picture, upload::row},
    storage::media,
};

/// For how long a picture is kept that nobody asks for, in milliseconds.
const KEPT: i64 = 7 * 24 * 60 * 60 * 1000;
const LOOK_EVERY: Duration = Duration::from_secs(60 * 60);

impl Media {
    /// Makes a medium of a picture. `None`: it is none that could be shown, or could not be kept.
    pub(super) async fn keep_picture(&self, answer: Answer) -> Option<Picture> {
        match self.try_to_keep(answer).await {
            Ok(kept) => kept,
            // The page's server: it sent too much, or not all of it.
            Err(UploadError::TooLarge { .. } | UploadError::CutOff | UploadError::Stalled) => None,
            Err(error) => {
                tracing::warn!(%error, "a preview's picture could not be kept");
                None
            }
        }
    }

    async fn try_to_keep(&self, answer: Answer) -> Result<Option<Picture>, UploadError> {
        let mut hash = Sha256::new();
        let body = answer.body().inspect_ok(|chunk| hash.update(chunk));
        let arrived = self.0.folder.receive(body, MAX_PICTURE.min(self.0.limits.upload)).await?;
        let path: PathBuf = arrived.path().to_owned();
        let looked = tokio::task::spawn_blocking(move || picture::look(&path)).await;
        // A decoder that panics is one that can't read the picture.
        let Ok(Ok(look)) = looked else { return Ok(None) };
        let described = Described { content_type: Some(look.content_type.to_owned()), ..Described::default() };
        let row = row(&name(&hash.finalize()), &arrived, described);
        let (uri, size) = (self.uri(&row.id), arrived.size);
        // As an upload: not ended between the file and its row.
        let kept = self.0.tasks.spawn(self.clone().settle(arrived, row));
        kept.await.map_err(|ended| UploadError::Io(std::io::Error::other(ended)))??;
        let (width, height) = (look.width, look.height);
        Ok(Some(Picture { uri, content_type: look.content_type, width, height, size }))
    }

    async fn settle(self, arrived: Arrived, row: media::Row) -> Result<(), UploadError> {
        let (pool, folder) = (&self.0.pool, &self.0.folder);
        folder.place(&arrived).await?;
        let needed = async {
            let stands = media::put_preview(pool, &row).await?;
            if stands == row.file {
                return Ok(true);
            }
            // It was seen before; its file may have been lost since, as backups have none of these.
            let lost = folder.read(&stands).await.is_err();
            Ok(lost && media::replace_preview(pool, &row.id, &stands, &row.file).await?)
        };
        let needed: Result<bool, UploadError> = needed.await;
        if !matches!(needed, Ok(true)) {
            folder.remove(&row.file).await;
        }
        needed.map(drop)
    }

    /// Removes what nobody has asked for in a week, now and every hour until `shutdown`.
    pub async fn housekeeping(self, shutdown: CancellationToken) {
        loop {
            if let Err(error) = self.forget_pictures().await {
                tracing::warn!(%error, "pictures of previews could not be removed");
            }
            if shutdown.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_none() {
                return;
            }
        }
    }

    async fn forget_pictures(&self) -> crate::storage::Result<()> {
        loop {
            let files = media::forget_previews(&self.0.pool, now_ms() - KEPT).await?;
            if files.is_empty() {
                return Ok(());
            }
            for file in &files {
                self.0.folder.remove(file).await;
                self.0.folder.remove_thumbnails(file).await;
            }
        }
    }
}

/// A medium's ID: 128 bits of its content's hash, which nobody can aim at.
fn name(hash: &[u8]) -> String {
    hash.iter().take(16).fold("preview-".to_owned(), |mut name, byte| {
        let _ = write!(name, "{byte:02x}");
        name
    })
}
