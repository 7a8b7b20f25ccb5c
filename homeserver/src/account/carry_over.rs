//! What a user had set for a room holds in the one that takes its place.

use roost_spec::push::{EditError, Position, RuleBody, RuleKind};
use ruma::{OwnedRoomId, RoomId};

use super::Account;
use crate::{
    rooms::Room,
    users::{AccountDataError, PushRulesError, Requester},
};

/// Why something was left behind.
#[derive(Debug, thiserror::Error)]
enum CarryError {
    #[error(transparent)]
    Rooms(#[from] crate::rooms::WriteError),
    #[error(transparent)]
    Rules(#[from] PushRulesError),
    #[error(transparent)]
    Data(#[from] AccountDataError),
}

impl From<crate::storage::Error> for CarryError {
    fn from(error: crate::storage::Error) -> Self {
        Self::Rooms(error.into())
    }
}

impl Account {
    /// Gives the room that `user` has just come into the push rule and the tags that they had for the room before it. That
    /// this fails is no reason for anybody not to be in the room.
    pub async fn carry_over(&self, user: &Requester, room: &RoomId) {
        if let Err(error) = self.carry(user, room).await {
            tracing::warn!(%error, %room, "push rule and tags of the room before were not taken over");
        }
    }

    async fn carry(&self, user: &Requester, room: &RoomId) -> Result<(), CarryError> {
        let rooms = &self.0.rooms;
        let Some(new) = rooms.find(room).await? else { return Ok(()) };
        let Some(old) = rooms.predecessor(&new).await? else { return Ok(()) };
        // Anybody may say that their room follows another: only who knows that one is concerned.
        if rooms.membership(old.nr, user.user).await?.is_none() {
            return Ok(());
        }
        self.carry_rule(user, &old.id, &new.id).await?;
        self.carry_tags(user, &old, &new).await
    }

    async fn carry_rule(&self, user: &Requester, old: &OwnedRoomId, new: &OwnedRoomId) -> Result<(), CarryError> {
        let rules = self.0.push_rules.of(user.user, user.user_id.as_str()).await?;
        let Some(rule) = rules.get(RuleKind::Room, old.as_str()) else { return Ok(()) };
        if rules.get(RuleKind::Room, new.as_str()).is_some() {
            return Ok(());
        }
        let (actions, enabled) = (rule.actions.clone(), rule.enabled);
        self.0
            .push_rules
            .change(user, |rules| -> Result<(), EditError> {
                let body = RuleBody { actions, conditions: None, pattern: None };
                rules.put(RuleKind::Room, new.as_str(), body, Position::default())?;
                rules.set_enabled(RuleKind::Room, new.as_str(), enabled)
            })
            .await?;
        Ok(())
    }

    async fn carry_tags(&self, user: &Requester, old: &Room, new: &Room) -> Result<(), CarryError> {
        let data = &self.0.account_data;
        let tags = data.tags(user.user, old.nr).await?;
        if tags.is_empty() || !data.tags(user.user, new.nr).await?.is_empty() {
            return Ok(());
        }
        for (tag, value) in tags {
            let value = value.as_object().cloned().unwrap_or_default();
            data.set_tag(user.user, new.nr, &tag, Some(value)).await?;
        }
        Ok(())
    }
}
