//! Upgrading a room: a new one takes its place, with its state, and the old one says where it is.
//!
//! The new room begins with little. Bans, and what a space holds, follow in pieces, so that a large room holds nobody up. What
//! is under way is noted in the database: where a node stops half-way, any other goes on.
//!
//! - `successor`: what the new room has, read off the old one's state
//! - `steps`: what is done, one after another
//! - `resume`: whose turn it is, and what stopped half-way
//!
//! **Invariant:** every step finds out by itself what is left of it to do, and may be repeated.

mod resume;
mod steps;
mod successor;

use std::sync::Arc;

use roost_spec::{
    auth::{Action, Power, Rejection},
    room_version::{RoomRules, RoomVersion},
};
use ruma::{OwnedRoomId, OwnedUserId, RoomId};

use super::{AliasError, Author, CreateError, Room, Rooms, WriteError, create::Plan};
use crate::storage::{self, Membership, upgrade::Upgrade};

/// Why a room was not upgraded.
#[derive(Debug, thiserror::Error)]
pub enum UpgradeError {
    #[error("this server does not know room version {0:?}")]
    UnsupportedVersion(String),
    #[error(transparent)]
    Create(#[from] CreateError),
    #[error(transparent)]
    Alias(#[from] AliasError),
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl From<storage::Error> for UpgradeError {
    fn from(error: storage::Error) -> Self {
        Self::Write(error.into())
    }
}

impl From<Rejection> for UpgradeError {
    fn from(rejection: Rejection) -> Self {
        Self::Write(rejection.into())
    }
}

/// An upgrade, and who works on it.
struct Work {
    old: Arc<Room>,
    new: Arc<Room>,
    author: Author,
    rules: &'static RoomRules,
    upgrade: Upgrade,
    holder: i64,
}

impl Rooms {
    /// Replaces `room` with a new one of version `version`, and returns the new room. Repeated while it is under way, or
    /// soon after, it gives the same room.
    ///
    /// # Errors
    /// See [`UpgradeError`].
    pub async fn upgrade(
        &self,
        author: &Author,
        room: &RoomId,
        version: &str,
        additional_creators: &[OwnedUserId],
    ) -> Result<OwnedRoomId, UpgradeError> {
        let version =
            RoomVersion::parse(version).ok_or_else(|| UpgradeError::UnsupportedVersion(version.to_owned()))?;
        let rules = version.rules();
        let old = self.find(room).await?.ok_or(WriteError::UnknownRoom)?;
        let head = self.head(&old).await?;
        if self.membership_in(&old, &head, author.nr).await? != Some(Membership::Join) {
            return Err(WriteError::UnknownRoom.into());
        }
        let view = self.power_view(&old, &head.frame.state).await?;
        let power = Power::of(old.rules, &view)?;
        let (has, needs) = (power.of_user(author.id.as_str())?, power.needed_to_send("m.room.tombstone", true)?);
        if !has.reaches(needs) {
            return Err(Rejection::Power { action: Action::SendState, needs, has }.into());
        }
        if let Some(new) = self.repeated(author, &old, version.as_str()).await? {
            return Ok(new.id.clone());
        }

        let row = storage::room::by_nr(&self.0.pool, &[old.nr]).await?;
        let public = row.first().is_some_and(|row| row.public);
        let drafts = self.successor(author, &old, &head, rules, additional_creators, &power).await?;
        let founding = self.lay(author, Plan { rules, public, alias: None, drafts }).await?;
        let upgrade = Upgrade {
            room: old.nr,
            successor: founding.room.nr,
            usr: author.nr,
            version: version.as_str().to_owned(),
            creators: additional_creators.iter().map(|user| user.as_str().to_owned()).collect(),
            frame: head.frame.nr,
            public,
            done_ts: None,
        };
        let hold = resume::hold();
        if !storage::upgrade::begin(&self.0.pool, &upgrade, hold).await? {
            // Another was first: the same wish gets its room.
            let new = self.repeated(author, &old, version.as_str()).await?;
            return new.map(|new| new.id.clone()).ok_or_else(|| WriteError::Contended.into());
        }
        let new = match self.raise(author, founding).await {
            Ok(new) => new,
            Err(error) => {
                storage::upgrade::give_up(&self.0.pool, old.nr, hold.holder).await?;
                return Err(error.into());
            }
        };
        let author = author.clone();
        let work = Work { old, new, author, rules, upgrade, holder: hold.holder };
        self.carry_out(&work).await?;
        Ok(work.new.id.clone())
    }
}
