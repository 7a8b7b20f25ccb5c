//! Finding a medium, and waiting for one whose upload is on its way.

use std::{io::ErrorKind, io::SeekFrom, time::Duration};

use ruma::{OwnedServerName, ServerName};
use tokio::{
    fs::File,
    io::AsyncSeekExt,
    time::{Instant, sleep_until, timeout_at},
};

use super::Media;
use crate::{
    clock::now_ms,
    storage::{self, media},
};

/// A medium to read.
#[derive(Debug)]
pub struct Download {
    file: File,
    /// Bytes in all.
    pub size: u64,
    pub content_type: Option<String>,
    pub filename: Option<String>,
    /// Names exactly these bytes: media never change.
    pub tag: String,
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Somebody who has shown an access token.
    Authenticated,
    /// Anybody.
    Open,
}

/// Why a medium can't be read.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    #[error("there is no such medium")]
    NotFound,
    #[error("this medium is given only to those who show an access token")]
    Frozen,
    #[error("the medium is not uploaded yet")]
    NotYetUploaded,
    #[error("this server can't reach {0} for its media")]
    Remote(OwnedServerName),
    #[error("the medium's file can't be read: {0}")]
    Io(#[from] std::io::Error),
    #[error(transparent)]
    Storage(#[from] storage::Error),
}

/// What an operator does about it.
const MISSING: &str =
    "is this the folder of all nodes? `roost doctor` counts such; `roost media forget` drops one that is lost";
/// The longest that a request waits for an upload.
const LONGEST: Duration = Duration::from_secs(60);
/// Another node may have taken the upload.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

impl Download {
    pub(super) fn new(file: File, size: u64, row: media::Row) -> Self {
        Self { file, size, content_type: row.content_type, filename: row.filename, tag: row.file }
    }

    pub(super) fn of_thumbnail(file: File, size: u64, content_type: &str, tag: String) -> Self {
        Self { file, size, content_type: Some(content_type.to_owned()), filename: None, tag }
    }

    /// The file, read from byte `start` on.
    ///
    /// # Errors
    /// The file's own.
    pub async fn read_from(mut self, start: u64) -> std::io::Result<File> {
        if start > 0 {
            self.file.seek(SeekFrom::Start(start)).await?;
        }
        Ok(self.file)
    }
}

impl Media {
    /// Opens a medium; waits up to `patience` where its upload is on its way.
    ///
    /// # Errors
    /// See [`DownloadError`].
    pub async fn download(
        &self,
        access: Access,
        server_name: &ServerName,
        id: &str,
        patience: Duration,
    ) -> Result<Download, DownloadError> {
        let row = self.find(access, server_name, id, patience).await?;
        self.open_file(row).await
    }

    pub(super) async fn open_file(&self, row: media::Row) -> Result<Download, DownloadError> {
        let file = match self.0.folder.read(&row.file).await {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                tracing::error!(media = row.id, file = row.file, "a medium's file is missing: {MISSING}");
                return Err(DownloadError::NotFound);
            }
            read => read?,
        };
        let size = u64::try_from(row.size).unwrap_or(0);
        Ok(Download::new(file, size, row))
    }

    pub(super) async fn find(
        &self,
        access: Access,
        server_name: &ServerName,
        id: &str,
        patience: Duration,
    ) -> Result<media::Row, DownloadError> {
        let row = if *server_name == self.0.server_name {
            self.wait_for(access, id, patience).await?
        } else {
            let row = media::get_remote(&self.0.pool, server_name.as_str(), id).await?;
            row.ok_or_else(|| DownloadError::Remote(server_name.to_owned()))?
        };
        match self.0.frozen_ts {
            Some(frozen) if access == Access::Open && row.created_ts >= frozen => Err(DownloadError::Frozen),
            _ => Ok(row),
        }
    }

    async fn wait_for(&self, access: Access, id: &str, patience: Duration) -> Result<media::Row, DownloadError> {
        let pool = &self.0.pool;
        let deadline = Instant::now() + patience.min(LONGEST);
        let mut arrivals = self.0.arrivals.subscribe();
        loop {
            if let Some(row) = media::get(pool, id).await? {
                return Ok(row);
            }
            let waits = media::pending(pool, id).await?.is_some_and(|pending| pending.expires_ts > now_ms());
            if !waits {
                // The upload may have come between the two looks.
                return media::get(pool, id).await?.ok_or(DownloadError::NotFound);
            }
            if access == Access::Open && self.0.frozen_ts.is_some() {
                return Err(DownloadError::Frozen);
            }
            if Instant::now() >= deadline {
                return Err(DownloadError::NotYetUploaded);
            }
            let look = (Instant::now() + LOOK_AGAIN).min(deadline);
            if timeout_at(look, arrivals.changed()).await.is_ok_and(|changed| changed.is_err()) {
                sleep_until(look).await;
            }
        }
    }
}
