//! Keys of end-to-end encryption: upload, query, claim, cross-signing, backup, and messages to devices.
//!
//! `identity` is the server's own name and signing key. Public keys are stored by the commit that tells of them: both are there, or
//! neither. One-time keys, of which nobody is told, are stored before the keys of their device.
//!
//! **Invariant:** nothing here can decrypt anything, and a one-time key leaves the server once.

mod backup;
mod claim;
mod counts;
mod cross_signing;
mod identity;
mod known;
mod query;
mod queues;
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
pub use signatures::{SignatureFailure, SignatureUpload, SignaturesError};
use sqlx::PgPool;
pub use upload::{KeyCounts, KeyUpload, UploadError};

use crate::{
    bell::Bell,
    log::{self, Log, Writes},
    storage::{
        self, Interner, UserNr,
        user_change::{Became, UserChange, UserWrite},
    },
    users::Moments,
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
    moments: Arc<Moments>,
    queues: queues::Queues,
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
    /// How often a user's device list is told.
    pub moments: Arc<Moments>,
}

impl Keys {
    /// The key service of a server.
    pub fn new(parts: Parts) -> Self {
        let Parts { pool, log, bell, interner, server_name, known, moments } = parts;
        let (counts, queues) = (counts::Counts::new(), queues::Queues::default());
        Self(Arc::new(Inner { pool, log, bell, interner, server_name, counts, known, moments, queues }))
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

    /// Stores keys of `user`, and tells everyone who shares a room with them, if that makes a difference.
    async fn change(&self, user: UserNr, change: UserChange) -> Result<Became, log::Error> {
        let write = || async {
            let users = vec![UserWrite { user, change }];
            let written = self.0.log.change(Writes { users, ..Writes::default() }).await?;
            Ok(written.changed.first().copied().unwrap_or(Became::Absent))
        };
        self.0.moments.tell(user, write).await
    }
}
