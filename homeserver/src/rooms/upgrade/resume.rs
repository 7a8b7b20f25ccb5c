//! Whose turn it is to work on an upgrade, and going on with what stopped half-way.

use std::{sync::Arc, time::Duration};

use roost_spec::room_version::RoomVersion;
use ruma::UserId;
use tokio_util::sync::CancellationToken;

use super::{UpgradeError, Work};
use crate::{
    clock::now_ms,
    random,
    rooms::{Author, Room, Rooms, WriteError},
    storage::{
        self, Error,
        upgrade::{Hold, Upgrade},
    },
};

/// Whoever does not say for so long that they work on an upgrade has stopped.
const HOLD: Duration = Duration::from_secs(20);
/// How often each node looks for what has stopped.
const LOOK: Duration = Duration::from_secs(10);
/// So many looks after the start reach beyond the hold of a process that ended right before.
const FIRST_LOOKS: u32 = 3;
/// For how long a repeated request gets the room that the first one made.
const REPEATED_WITHIN: Duration = Duration::from_secs(10 * 60);
/// How long a repeated request waits for the first, and how often it looks.
const WAITING: u32 = 100;
const PAUSE: Duration = Duration::from_millis(300);

/// A hold that begins now, under a number that nobody else has.
pub(super) fn hold() -> Hold {
    Hold { holder: i64::from_ne_bytes(random::bytes()), until: until() }
}

fn until() -> i64 {
    now_ms() + millis(HOLD)
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

impl Rooms {
    /// Goes on with upgrades that stopped half-way, until `shutdown`.
    pub async fn go_on_upgrading(self, shutdown: CancellationToken) {
        let (mut done, mut looks) = (None, 0);
        while shutdown.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_some() {
            let now = self.0.log.watermark();
            // What another node left may wait while nobody writes; a node without others has left nothing since its start.
            if !self.0.log.is_shared() && looks >= FIRST_LOOKS && done == Some(now) {
                continue;
            }
            looks += 1;
            match shutdown.run_until_cancelled(self.resume_upgrades()).await {
                Some(true) => done = Some(now),
                Some(false) => {}
                None => return,
            }
        }
    }

    /// `false`: one of them is to be tried again.
    async fn resume_upgrades(&self) -> bool {
        loop {
            let hold = hold();
            let resumed = match storage::upgrade::take(&self.0.pool, None, hold, now_ms()).await {
                Ok(Some(upgrade)) => self.resume(upgrade, hold).await.map(drop),
                Ok(None) => break,
                Err(error) => Err(error.into()),
            };
            if let Err(error) = resumed {
                tracing::warn!(%error, "an upgrade that stopped half-way can't go on yet");
                return false;
            }
        }
        if let Err(error) = storage::upgrade::forget(&self.0.pool, now_ms() - millis(REPEATED_WITHIN)).await {
            tracing::debug!(%error, "finished upgrades can't be forgotten yet");
        }
        true
    }

    /// Goes on with an upgrade. `None` where its new room was never made: then nothing has happened.
    async fn resume(&self, upgrade: Upgrade, hold: Hold) -> Result<Option<Arc<Room>>, UpgradeError> {
        let mut rooms = self.find_many(&[upgrade.room, upgrade.successor]).await?;
        let (Some(old), Some(new)) = (rooms.remove(&upgrade.room), rooms.remove(&upgrade.successor)) else {
            storage::upgrade::give_up(&self.0.pool, upgrade.room, hold.holder).await?;
            return Ok(None);
        };
        let damaged = || Error::Inconsistent(format!("the upgrade of room {} can't be read", upgrade.room.0));
        let rules = RoomVersion::parse(&upgrade.version).ok_or_else(damaged)?.rules();
        let id = self.0.interner.text(upgrade.usr).await?;
        let id = UserId::parse(&*id).map_err(|_| damaged())?;
        let author = Author { nr: upgrade.usr, id, suspended: false };
        tracing::info!(room = %old.id, successor = %new.id, "going on with an upgrade that stopped half-way");
        let work = Work { old, new, author, rules, upgrade, holder: hold.holder };
        self.carry_out(&work).await?;
        Ok(Some(work.new))
    }

    /// The new room of the same upgrade, where one was asked for before: waits for whoever works on it.
    pub(super) async fn repeated(
        &self,
        author: &Author,
        old: &Room,
        version: &str,
    ) -> Result<Option<Arc<Room>>, UpgradeError> {
        for _ in 0..WAITING {
            let known = storage::upgrade::of_room(&self.0.pool, old.nr).await?;
            let Some(known) = known.filter(|known| known.usr == author.nr && known.version == version) else {
                return Ok(None);
            };
            match known.done_ts {
                Some(done) if done < now_ms() - millis(REPEATED_WITHIN) => return Ok(None),
                Some(_) => return Ok(Some(self.find_nr(known.successor).await?)),
                None => {}
            }
            let hold = hold();
            match storage::upgrade::take(&self.0.pool, Some(old.nr), hold, now_ms()).await? {
                Some(upgrade) => return self.resume(upgrade, hold).await,
                None => tokio::time::sleep(PAUSE).await,
            }
        }
        Err(WriteError::Contended.into())
    }

    /// Says that the upgrade is still worked on.
    ///
    /// # Errors
    /// [`WriteError::Contended`] where another took it.
    pub(super) async fn hold_on(&self, work: &Work) -> Result<(), UpgradeError> {
        let hold = Hold { holder: work.holder, until: until() };
        match storage::upgrade::keep(&self.0.pool, work.old.nr, hold).await? {
            true => Ok(()),
            false => Err(WriteError::Contended.into()),
        }
    }

    pub(super) async fn done(&self, work: &Work) -> Result<(), UpgradeError> {
        Ok(storage::upgrade::finish(&self.0.pool, work.old.nr, work.holder, now_ms()).await?)
    }
}
