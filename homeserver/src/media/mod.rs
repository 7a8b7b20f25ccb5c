//! Media: uploads into files, and downloads out of them, streamed.
//!
//! A file gets its name when it is whole and on disk, and its row after that: whoever finds the row finds the file.
//!
//! **Invariant:** nothing is ever whole in memory, and a broken upload leaves nothing behind.

mod folder;

use std::{io::ErrorKind, path::PathBuf, sync::Arc};

use bytes::Bytes;
use futures::Stream;
use ruma::{OwnedMxcUri, OwnedServerName, ServerName};
use sqlx::PgPool;
use tokio::fs::File;

use self::folder::{Arrived, Folder};
use crate::{
    clock::now_ms,
    storage::{self, UserNr, media},
    users::Requester,
};

/// The media service. Cheap to clone.
#[derive(Clone)]
pub struct Media(Arc<Inner>);

struct Inner {
    pool: PgPool,
    folder: Folder,
    server_name: OwnedServerName,
    max_upload_size: u64,
}

/// A medium to read.
#[derive(Debug)]
pub struct Download {
    pub file: File,
    pub size: u64,
    pub content_type: Option<String>,
    pub filename: Option<String>,
}

/// Why an upload was not taken.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    #[error("the upload is larger than the {limit} bytes that this server takes")]
    TooLarge { limit: u64 },
    #[error("the upload ended before it was complete")]
    CutOff,
    #[error("the upload stopped for too long")]
    Stalled,
    #[error("the server's disk is full")]
    DiskFull,
    #[error("the media folder can't be written: {0}")]
    Io(std::io::Error),
    #[error(transparent)]
    Storage(#[from] storage::Error),
}

/// Why a medium can't be read.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    #[error("there is no such medium")]
    NotFound,
    #[error("this server can't reach {0} for its media")]
    Remote(OwnedServerName),
    #[error("the medium's file can't be read: {0}")]
    Io(#[from] std::io::Error),
    #[error(transparent)]
    Storage(#[from] storage::Error),
}

impl Media {
    /// The media service over the files in `folder`.
    ///
    /// # Errors
    /// If the folder can't be made.
    pub async fn open(
        pool: PgPool,
        folder: PathBuf,
        server_name: OwnedServerName,
        max_upload_size: u64,
    ) -> std::io::Result<Self> {
        let folder = Folder::open(folder).await?;
        Ok(Self(Arc::new(Inner { pool, folder, server_name, max_upload_size })))
    }

    /// The largest upload, in bytes.
    pub fn max_upload_size(&self) -> u64 {
        self.0.max_upload_size
    }

    /// Stores a medium as it streams in.
    ///
    /// # Errors
    /// See [`UploadError`]; nothing is kept then.
    pub async fn upload<E>(
        &self,
        requester: &Requester,
        content_type: Option<String>,
        filename: Option<String>,
        body: impl Stream<Item = Result<Bytes, E>> + Send + Unpin,
    ) -> Result<OwnedMxcUri, UploadError> {
        let arrived = self.0.folder.receive(body, self.0.max_upload_size).await?;
        let row = media::Row {
            id: arrived.id.clone(),
            content_type,
            filename,
            size: i64::try_from(arrived.size).unwrap_or(i64::MAX),
        };
        // A task of its own: a client that leaves now would end the request between the file and its row.
        let kept = tokio::spawn(self.clone().keep(arrived, row, requester.user));
        kept.await.map_err(|ended| UploadError::Io(std::io::Error::other(ended)))?
    }

    async fn keep(self, arrived: Arrived, row: media::Row, user: UserNr) -> Result<OwnedMxcUri, UploadError> {
        self.0.folder.place(&arrived).await?;
        if let Err(error) = media::put(&self.0.pool, user, &row, now_ms()).await {
            self.0.folder.remove(&arrived.id).await;
            return Err(error.into());
        }
        Ok(format!("mxc://{}/{}", self.0.server_name, arrived.id).into())
    }

    /// Opens a medium.
    ///
    /// # Errors
    /// See [`DownloadError`].
    pub async fn download(&self, server_name: &ServerName, id: &str) -> Result<Download, DownloadError> {
        if server_name != self.0.server_name {
            return Err(DownloadError::Remote(server_name.to_owned()));
        }
        let row = media::get(&self.0.pool, id).await?.ok_or(DownloadError::NotFound)?;
        let file = match self.0.folder.read(&row.id).await {
            // The database went away while it was told of an upload, which was taken back then.
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(DownloadError::NotFound),
            read => read?,
        };
        let size = u64::try_from(row.size).unwrap_or(0);
        Ok(Download { file, size, content_type: row.content_type, filename: row.filename })
    }
}
