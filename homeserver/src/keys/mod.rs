//! Keys of end-to-end encryption: upload, query, claim, cross-signing, backup, and messages to devices.
//!
//! `identity` is the server's own name and signing key. Keys are stored before the log tells of them, so that whoever heard of a change finds it on every node.
//!
//! **Invariant:** nothing here can decrypt anything, and a one-time key leaves the server once.

mod backup;
mod claim;
mod counts;
mod cross_signing;
mod identity;
mod known;
mod query;
mod send_to_device;
mod signatures;
mod signed;
mod upload;

use std::sync::Arc;

pub use backup::{BackupError, BackupState, NewSession, SessionData};
pub use claim::{ClaimedKeys, Wanted};
pub use cross_signing::{CrossSigningError, CrossSigningUpload};
pub use identity::{Identity, IdentityError, OldKey};
pub use known::KnownKeys;
pub use query::Queried;
use ruma::{OwnedServerName, UserId};
pub use send_to_device::{Messages, SendToDeviceError};
pub use signatures::{SignatureFailure, SignatureUpload};
use sqlx::PgPool;
pub use upload::{KeyCounts, KeyUpload, UploadError};

use crate::{
    bell::Bell,
    log::{self, Log, Writes},
    storage::{self, Interner, UserNr},
};

/// The key service. Cheap to clone.
#[derive(Clone)]
pub struct Keys(Arc<Inner>);

struct Inner {
    pool: PgPool,
    log: Log,
    bell: Bell,
    interner: Interner,
    server_name: OwnedServerName,
    counts: counts::Counts,
    known: Arc<KnownKeys>,
}

/// What the key service is made of.
pub struct Parts {
    pub pool: PgPool,
    pub log: Log,
    pub bell: Bell,
    pub interner: Interner,
    pub server_name: OwnedServerName,
    /// It follows the log.
    pub known: Arc<KnownKeys>,
}

/// Why a change of keys could not be told to others.
#[derive(Debug, thiserror::Error)]
pub enum AnnounceError {
    #[error(transparent)]
    Storage(#[from] storage::Error),
    #[error(transparent)]
    Log(#[from] log::Error),
}

impl Keys {
    /// The key service of a server.
    pub fn new(parts: Parts) -> Self {
        let Parts { pool, log, bell, interner, server_name, known } = parts;
        Self(Arc::new(Inner { pool, log, bell, interner, server_name, counts: counts::Counts::new(), known }))
    }

    fn is_local(&self, user: &UserId) -> bool {
        user.server_name() == self.0.server_name
    }

    /// The numbers of the local ones among `users`; unknown users are left out.
    async fn local_numbers<'a>(
        &self,
        users: impl Iterator<Item = &'a UserId>,
    ) -> storage::Result<Vec<(UserNr, &'a UserId)>> {
        let local: Vec<&UserId> = users.filter(|user| self.is_local(user)).collect();
        let numbers = self.0.interner.find_many(local.iter().map(|user| user.as_str())).await?;
        Ok(local.into_iter().filter_map(|user| Some((*numbers.get(user.as_str())?, user))).collect())
    }

    /// Tells everyone who shares a room with `user` that the user's keys changed.
    async fn announce(&self, user: UserNr) -> Result<(), AnnounceError> {
        let wake_rooms = storage::member::joined_rooms(&self.0.pool, user).await?;
        let writes = Writes { device_changes: vec![user], wake_rooms, wake_users: vec![user], ..Writes::default() };
        self.0.log.write(writes).await?;
        Ok(())
    }
}
