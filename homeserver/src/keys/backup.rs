//! Server-side backups of room keys: versions and sessions.

use ruma::{OwnedRoomId, RoomId};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::Keys;
use crate::{
    storage::{
        self, UserNr, key_backup,
        key_backup::{Session, Version},
    },
    users::Requester,
};

/// A session to store.
#[derive(Debug, Clone)]
pub struct NewSession {
    pub room_id: OwnedRoomId,
    pub session_id: String,
    pub data: SessionData,
}

/// `KeyBackupData`
#[derive(Debug, Clone, Deserialize)]
pub struct SessionData {
    pub first_message_index: u32,
    pub forwarded_count: u32,
    pub is_verified: bool,
    pub session_data: Box<RawValue>,
}

/// A backup's state after a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupState {
    pub etag: i64,
    pub count: i64,
}

/// Why a backup can't be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error("there is no such backup version")]
    NoVersion,
    #[error("there is no backup of such a key")]
    NoSession,
    #[error("this is not the current backup version, which is {current}")]
    WrongVersion { current: i64 },
    #[error("a version's algorithm can't be changed")]
    OtherAlgorithm,
    #[error("`version` in the body differs from the one in the path")]
    OtherVersion,
    #[error(
        "a session's data takes {MAX_SESSION} bytes at most, its ID {MAX_ID}, a version's `auth_data` {MAX_AUTH_DATA}, its algorithm \
         {MAX_ALGORITHM}"
    )]
    TooLarge,
    #[error(
        "a user keeps {MOST_VERSIONS} backups at most, with {MOST_SESSIONS} sessions of {MOST_BYTES} bytes together"
    )]
    TooMuch,
    #[error(transparent)]
    Storage(#[from] storage::Error),
}

const MAX_SESSION: usize = 64 << 10;
const MAX_ID: usize = 255;
const MAX_AUTH_DATA: usize = 64 << 10;
const MAX_ALGORITHM: usize = 255;
const MOST_VERSIONS: i64 = 20;
/// Whoever was in busy rooms for years has a tenth of that.
const MOST_SESSIONS: i64 = 1_000_000;
const MOST_BYTES: i64 = 512 << 20;
/// So many sessions are read at once.
const PAGE: i64 = 500;

impl Keys {
    /// Makes a new backup version, which becomes the current one.
    ///
    /// # Errors
    /// [`BackupError::TooMuch`], or the database's own.
    pub async fn create_backup(
        &self,
        user: &Requester,
        algorithm: &str,
        auth_data: &RawValue,
    ) -> Result<i64, BackupError> {
        if auth_data.get().len() > MAX_AUTH_DATA || algorithm.len() > MAX_ALGORITHM {
            return Err(BackupError::TooLarge);
        }
        let created = key_backup::create(&self.0.pool, user.user, algorithm, auth_data.get(), MOST_VERSIONS).await?;
        created.ok_or(BackupError::TooMuch)
    }

    /// A version, or the current one, with the number of its sessions.
    ///
    /// # Errors
    /// [`BackupError::NoVersion`], or the database's own.
    pub async fn backup(&self, user: &Requester, version: Option<i64>) -> Result<(Version, i64), BackupError> {
        let mut conn = self.0.pool.acquire().await.map_err(storage::Error::from)?;
        let version = key_backup::version(&mut conn, user.user, version).await?.ok_or(BackupError::NoVersion)?;
        let count = key_backup::count(&mut conn, user.user, version.version).await?;
        Ok((version, count))
    }

    /// Replaces a version's `auth_data`.
    ///
    /// # Errors
    /// See [`BackupError`].
    pub async fn update_backup(
        &self,
        user: &Requester,
        version: i64,
        algorithm: &str,
        auth_data: &RawValue,
    ) -> Result<(), BackupError> {
        if auth_data.get().len() > MAX_AUTH_DATA {
            return Err(BackupError::TooLarge);
        }
        let (stored, _) = self.backup(user, Some(version)).await?;
        if stored.algorithm != algorithm {
            return Err(BackupError::OtherAlgorithm);
        }
        let found = key_backup::set_auth_data(&self.0.pool, user.user, version, auth_data.get()).await?;
        if found { Ok(()) } else { Err(BackupError::NoVersion) }
    }

    /// Deletes a version and its sessions.
    ///
    /// # Errors
    /// See [`BackupError`].
    pub async fn delete_backup(&self, user: &Requester, version: i64) -> Result<(), BackupError> {
        let mut tx = self.0.pool.begin().await.map_err(storage::Error::from)?;
        let found = key_backup::delete(&mut tx, user.user, version).await?;
        tx.commit().await.map_err(storage::Error::from)?;
        if found { Ok(()) } else { Err(BackupError::NoVersion) }
    }

    /// Stores sessions in the current version, each only where it is better than what is there.
    ///
    /// # Errors
    /// See [`BackupError`].
    pub async fn put_sessions(
        &self,
        user: &Requester,
        version: i64,
        sessions: Vec<NewSession>,
    ) -> Result<BackupState, BackupError> {
        if sessions.iter().any(|it| it.session_id.len() > MAX_ID || it.data.session_data.get().len() > MAX_SESSION) {
            return Err(BackupError::TooLarge);
        }
        let rows: Vec<Session> = sessions
            .into_iter()
            .map(|s| Session {
                room_id: s.room_id.into(),
                session_id: s.session_id,
                first_message_index: s.data.first_message_index.into(),
                forwarded_count: s.data.forwarded_count.into(),
                is_verified: s.data.is_verified,
                session_data: s.data.session_data.get().to_owned(),
            })
            .collect();
        let mut tx = self.0.pool.begin().await.map_err(storage::Error::from)?;
        current(&mut tx, user.user, version).await?;
        key_backup::count(&mut tx, user.user, version).await?;
        let change = key_backup::put(&mut tx, user.user, version, &rows).await?;
        let (etag, count) = key_backup::touch(&mut tx, user.user, version, change).await?;
        let (sessions, bytes) = key_backup::usage(&mut tx, user.user).await?;
        if change.more_bytes > 0 && (sessions > MOST_SESSIONS || bytes > MOST_BYTES) {
            // Dropped without a commit: nothing of it is stored.
            return Err(BackupError::TooMuch);
        }
        tx.commit().await.map_err(storage::Error::from)?;
        Ok(BackupState { etag, count })
    }

    /// One session of a version.
    ///
    /// # Errors
    /// See [`BackupError`].
    pub async fn session(
        &self,
        user: &Requester,
        version: i64,
        room_id: &RoomId,
        session_id: &str,
    ) -> Result<Session, BackupError> {
        self.backup(user, Some(version)).await?;
        let session = key_backup::session(&self.0.pool, user.user, version, room_id.as_str(), session_id).await?;
        session.ok_or(BackupError::NoSession)
    }

    /// The sessions of a version, or of one of its rooms, that follow the one named; a few hundred at once.
    ///
    /// # Errors
    /// The database's own.
    pub async fn sessions_after(
        &self,
        user: UserNr,
        version: i64,
        room_id: Option<&RoomId>,
        after: (&str, &str),
    ) -> storage::Result<Vec<Session>> {
        key_backup::page(&self.0.pool, user, version, room_id.map(RoomId::as_str), after, PAGE).await
    }

    /// Deletes the sessions of a version, of one room, or one session.
    ///
    /// # Errors
    /// See [`BackupError`].
    pub async fn delete_sessions(
        &self,
        user: &Requester,
        version: i64,
        room_id: Option<&RoomId>,
        session_id: Option<&str>,
    ) -> Result<BackupState, BackupError> {
        let mut tx = self.0.pool.begin().await.map_err(storage::Error::from)?;
        key_backup::lock(&mut tx, user.user, version).await?;
        key_backup::version(&mut tx, user.user, Some(version)).await?.ok_or(BackupError::NoVersion)?;
        let room_id = room_id.map(RoomId::as_str);
        key_backup::count(&mut tx, user.user, version).await?;
        let change = key_backup::delete_sessions(&mut tx, user.user, version, room_id, session_id).await?;
        let (etag, count) = key_backup::touch(&mut tx, user.user, version, change).await?;
        tx.commit().await.map_err(storage::Error::from)?;
        Ok(BackupState { etag, count })
    }
}

/// Locks `version` and checks that it is the current one.
async fn current(conn: &mut sqlx::PgConnection, user: UserNr, version: i64) -> Result<(), BackupError> {
    key_backup::lock(conn, user, version).await?;
    match key_backup::version(conn, user, None).await? {
        None => Err(BackupError::NoVersion),
        Some(newest) if newest.version != version => Err(BackupError::WrongVersion { current: newest.version }),
        Some(_) => Ok(()),
    }
}
