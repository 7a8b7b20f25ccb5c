//! What a user had set for a room holds in the one that takes its place.

use roost_spec::push::{EditError, Position, RuleBody, RuleKind};
use ruma::{OwnedRoomId, RoomId};

use super::Account;
use crate::users::{AccountDataError, PushRulesError, Requester};

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
    /// Gives the room that `user` has just come into the push rule, the tags and the place among direct talks that they had
    /// for the room before it. That this fails is no reason for anybody not to be in the room.
    pub async fn carry_over(&self, user: &Requester, room: &RoomId) {
        if let Err(error) = self.carry(user, room).await {
            tracing::warn!(%error, %room, "what the user had set for the room before was not taken over");
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
        // Both at once: they go into one commit.
        let data = self.0.account_data.carry_over(user.user, (old.nr, &old.id), (new.nr, &new.id));
        let (rule, data) = tokio::join!(self.carry_rule(user, &old.id, &new.id), data);
        rule.and(data.map_err(CarryError::from))
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
}
