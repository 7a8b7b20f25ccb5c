//! The steps of an upgrade after the new room's beginning.

use roost_spec::canonical_json::{Object, Value};

use super::{UpgradeError, Work};
use crate::{
    rooms::{Author, Draft, Room, Rooms, WriteError},
    storage::{self, EventNr},
};

/// So many events of the old room's state are written at a time: others' messages come between.
const PIECE: usize = 50;

impl Rooms {
    /// Does what is left of an upgrade whose new room exists, and notes that it is done.
    ///
    /// # Errors
    /// Where the old room does not let itself be closed any more, the upgrade goes back: the author leaves the new room. All
    /// other errors leave it to whoever goes on.
    pub(super) async fn carry_out(&self, work: &Work) -> Result<(), UpgradeError> {
        self.copy_rest(work).await?;
        self.settle_levels(work).await?;
        match self.close(work).await {
            Err(UpgradeError::Write(refused @ WriteError::Rejected(_))) => {
                self.leave(&work.author, &work.new.id, None).await?;
                storage::upgrade::give_up(&self.0.pool, work.old.nr, work.holder).await?;
                return Err(refused.into());
            }
            closed => closed?,
        }
        self.move_names(work).await?;
        self.quieten(&work.author, &work.old).await?;
        self.done(work).await
    }

    /// Bans, and what a space holds, piece by piece.
    async fn copy_rest(&self, work: &Work) -> Result<(), UpgradeError> {
        for piece in self.followers_of(work).await?.chunks(PIECE) {
            self.hold_on(work).await?;
            match self.copy(work, piece).await {
                // One that the new room refuses does not keep out the others.
                Err(UpgradeError::Write(WriteError::Rejected(_))) => {
                    for one in piece {
                        match self.copy(work, &[*one]).await {
                            Err(UpgradeError::Write(WriteError::Rejected(_))) => {}
                            copied => copied?,
                        }
                    }
                }
                copied => copied?,
            }
        }
        Ok(())
    }

    async fn copy(&self, work: &Work, piece: &[EventNr]) -> Result<(), UpgradeError> {
        let drafts = self.again(&work.old, piece).await?;
        if !drafts.is_empty() {
            self.append(&work.new, &work.author, drafts).await?;
        }
        Ok(())
    }

    /// Takes the power back that the author had until all state was set.
    async fn settle_levels(&self, work: &Work) -> Result<(), UpgradeError> {
        let (levels, Some(raised)) = self.levels_of(work).await? else { return Ok(()) };
        let current = self.current(&work.new, "m.room.power_levels", "").await?;
        if current.is_none_or(|current| current.content() != &raised) {
            return Ok(());
        }
        self.append_one(&work.new, &work.author, Draft::state("m.room.power_levels", "", levels)).await?;
        Ok(())
    }

    /// The tombstone.
    async fn close(&self, work: &Work) -> Result<(), UpgradeError> {
        self.hold_on(work).await?;
        let successor = work.new.id.as_str();
        let current = self.current(&work.old, "m.room.tombstone", "").await?;
        if current.is_some_and(|current| current.content().get_str("replacement_room") == Some(successor)) {
            return Ok(());
        }
        let tombstone = Object::from([("body", "This room has been replaced"), ("replacement_room", successor)]);
        self.append_one(&work.old, &work.author, Draft::state("m.room.tombstone", "", tombstone)).await?;
        Ok(())
    }

    /// Aliases and the place in the directory go to the new room.
    async fn move_names(&self, work: &Work) -> Result<(), UpgradeError> {
        let Work { old, new, author, .. } = work;
        storage::alias::move_all(&self.0.pool, old.nr, new.nr).await?;
        if work.upgrade.public {
            storage::room::set_public(&self.0.pool, old.nr, false).await?;
        }
        self.tell(old.nr).await?;
        self.tell(new.nr).await?;
        if let Some(canonical) = self.current(old, "m.room.canonical_alias", "").await?
            && !canonical.content().is_empty()
        {
            let content = canonical.content().clone();
            // The new one first: the old one's is where it is read from.
            self.if_allowed(new, author, Draft::state("m.room.canonical_alias", "", content)).await?;
            self.if_allowed(old, author, Draft::state("m.room.canonical_alias", "", Object::new())).await?;
        }
        Ok(())
    }

    /// Leaves talking and inviting in the old room to moderators.
    async fn quieten(&self, author: &Author, old: &Room) -> Result<(), UpgradeError> {
        let Some(levels) = self.current(old, "m.room.power_levels", "").await? else { return Ok(()) };
        let mut content = levels.content().clone();
        let level = |content: &Object, key: &str| content.get(key).and_then(Value::as_integer).unwrap_or(0);
        let quiet = (level(&content, "users_default") + 1).max(50);
        for key in ["events_default", "invite"] {
            if level(&content, key) < quiet {
                content.insert(key, quiet);
            }
        }
        if &content == levels.content() {
            return Ok(());
        }
        self.if_allowed(old, author, Draft::state("m.room.power_levels", "", content)).await
    }

    /// What is fine to have, but no reason to fail.
    async fn if_allowed(&self, room: &Room, author: &Author, draft: Draft) -> Result<(), UpgradeError> {
        match self.append_one(room, author, draft).await {
            Ok(_) | Err(WriteError::Rejected(_) | WriteError::BadAlias(_) | WriteError::InvalidAlias(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
