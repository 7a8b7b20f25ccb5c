//! Uploads: at once, or later to an ID that was given out before.

use bytes::Bytes;
use futures::Stream;
use ruma::{OwnedMxcUri, ServerName};

use super::{Media, folder::Arrived};
use crate::{
    clock::now_ms,
    random,
    storage::{
        self, UserNr,
        media::{self, Put},
    },
    users::Requester,
};

/// For how long an ID waits for its upload.
const UNUSED: i64 = 24 * 60 * 60 * 1000;
/// How many IDs of one user may wait.
const PENDING: i64 = 50;
/// An upload that began in time may end after its ID has expired.
const FORGET_AFTER: i64 = 24 * 60 * 60 * 1000;

/// An ID that waits for its upload.
#[derive(Debug)]
pub struct Reserved {
    pub uri: OwnedMxcUri,
    /// Milliseconds since 1970.
    pub expires_ts: i64,
}

/// Why an upload was not taken.
#[derive(Debug, thiserror::Error)]
pub enum UploadError {
    #[error("the upload is larger than the {limit} bytes that this server takes")]
    TooLarge { limit: u64 },
    #[error("with this upload you would use more than the {limit} bytes that a user may")]
    OverQuota { limit: u64 },
    #[error("the upload ended before it was complete")]
    CutOff,
    #[error("the upload stopped for too long")]
    Stalled,
    #[error("this media ID was not given out, or not used in time")]
    UnknownId,
    #[error("this media ID was given to somebody else")]
    NotYours,
    #[error("this media ID has its content already")]
    Taken,
    #[error("you have {PENDING} media IDs that wait for their uploads")]
    TooManyPending {
        /// Until one of them expires.
        millis: i64,
    },
    #[error("the server's disk is full")]
    DiskFull,
    /// The folder is not the one of all nodes.
    #[error("{0}")]
    Apart(String),
    #[error("the media folder can't be written: {0}")]
    Io(std::io::Error),
    #[error(transparent)]
    Storage(#[from] storage::Error),
}

/// What a client says of what it uploads.
#[derive(Debug, Clone, Default)]
pub struct Described {
    pub content_type: Option<String>,
    pub filename: Option<String>,
    /// As announced, where it is.
    pub length: Option<u64>,
}

impl Media {
    /// Stores a medium as it streams in.
    ///
    /// # Errors
    /// See [`UploadError`]; nothing is kept then.
    pub async fn upload<E>(
        &self,
        requester: &Requester,
        described: Described,
        body: impl Stream<Item = Result<Bytes, E>> + Send + Unpin,
    ) -> Result<OwnedMxcUri, UploadError> {
        self.check_limits(requester.user, described.length.unwrap_or(0)).await?;
        let arrived = self.0.folder.receive(body, self.0.limits.upload).await?;
        let row = row(&arrived.name, &arrived, described);
        self.keep_whatever_happens(arrived, row, requester.user, false).await
    }

    /// Gives out an ID for an upload that comes later.
    ///
    /// # Errors
    /// [`UploadError::TooManyPending`], or the database's own.
    pub async fn reserve(&self, requester: &Requester) -> Result<Reserved, UploadError> {
        let (id, now) = (random::name(24), now_ms());
        let (pool, user) = (&self.0.pool, requester.user);
        media::forget_expired(pool, now - FORGET_AFTER).await?;
        if !media::reserve(pool, &id, user, PENDING, now, now + UNUSED).await? {
            let expires = media::next_expiry(pool, user, now).await?;
            return Err(UploadError::TooManyPending { millis: expires.map_or(0, |expires| expires - now) });
        }
        Ok(Reserved { uri: self.uri(&id), expires_ts: now + UNUSED })
    }

    /// Stores a medium under an ID that waited for it.
    ///
    /// # Errors
    /// See [`UploadError`]; nothing is kept then, and the ID goes on waiting.
    pub async fn upload_to<E>(
        &self,
        requester: &Requester,
        server_name: &ServerName,
        id: &str,
        described: Described,
        body: impl Stream<Item = Result<Bytes, E>> + Send + Unpin,
    ) -> Result<(), UploadError> {
        if *server_name != self.0.server_name {
            return Err(UploadError::UnknownId);
        }
        match media::pending(&self.0.pool, id).await? {
            None => return Err(self.why_not(id).await?),
            Some(pending) if pending.usr != requester.user => return Err(UploadError::NotYours),
            Some(pending) if pending.expires_ts <= now_ms() => return Err(UploadError::UnknownId),
            Some(_) => {}
        }
        self.check_limits(requester.user, described.length.unwrap_or(0)).await?;
        let arrived = self.0.folder.receive(body, self.0.limits.upload).await?;
        let row = row(id, &arrived, described);
        self.keep_whatever_happens(arrived, row, requester.user, true).await?;
        // Those who wait here look again; on other nodes they look once a second.
        self.0.arrivals.send_replace(());
        Ok(())
    }

    async fn why_not(&self, id: &str) -> storage::Result<UploadError> {
        let taken = media::get(&self.0.pool, id).await?.is_some();
        Ok(if taken { UploadError::Taken } else { UploadError::UnknownId })
    }

    /// Before the bytes are read, so that nobody sends a film for nothing. What counts is looked at again when they are there.
    async fn check_limits(&self, user: UserNr, length: u64) -> Result<(), UploadError> {
        let limits = self.0.limits;
        if length > limits.upload {
            return Err(UploadError::TooLarge { limit: limits.upload });
        }
        let Some(limit) = limits.user else { return Ok(()) };
        let used = media::usage(&self.0.pool, user).await?;
        if u64::try_from(used).unwrap_or(0).saturating_add(length) > limit {
            return Err(UploadError::OverQuota { limit });
        }
        Ok(())
    }

    /// In a task of its own: a client that leaves now would end the request between the file and its row.
    async fn keep_whatever_happens(
        &self,
        arrived: Arrived,
        row: media::Row,
        user: UserNr,
        waited_for: bool,
    ) -> Result<OwnedMxcUri, UploadError> {
        let kept = self.0.tasks.spawn(self.clone().keep(arrived, row, user, waited_for));
        kept.await.map_err(|ended| UploadError::Io(std::io::Error::other(ended)))?
    }

    async fn keep(
        self,
        arrived: Arrived,
        row: media::Row,
        user: UserNr,
        waited_for: bool,
    ) -> Result<OwnedMxcUri, UploadError> {
        let pool = &self.0.pool;
        self.0.folder.place(&arrived).await?;
        let limit = self.0.limits.user;
        let quota = limit.map(|limit| i64::try_from(limit).unwrap_or(i64::MAX));
        let put = media::put(pool, user, &row, waited_for, quota).await;
        if let Ok(Put::Stored) = put {
            return Ok(self.uri(&row.id));
        }
        self.0.folder.remove(&arrived.name).await;
        Err(match put? {
            Put::OverQuota => UploadError::OverQuota { limit: limit.unwrap_or(u64::MAX) },
            Put::Stored | Put::NotAwaited => self.why_not(&row.id).await?,
        })
    }

    pub(super) fn uri(&self, id: &str) -> OwnedMxcUri {
        format!("mxc://{}/{id}", self.0.server_name).into()
    }
}

pub(super) fn row(id: &str, arrived: &Arrived, described: Described) -> media::Row {
    media::Row {
        id: id.to_owned(),
        file: arrived.name.clone(),
        content_type: described.content_type,
        filename: described.filename,
        size: i64::try_from(arrived.size).unwrap_or(i64::MAX),
        created_ts: now_ms(),
    }
}
