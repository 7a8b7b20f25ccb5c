//! A room as who is not in it sees it.

use std::sync::Arc;

use ruma::{RoomId, RoomOrAliasId};

use super::{Rooms, access::ReadError, card::Card};
use crate::storage::{Membership, UserNr};

/// What is told of a room, and the asking user's membership.
#[derive(Debug, Clone)]
pub struct Summary {
    pub card: Arc<Card>,
    pub membership: Option<Membership>,
}

impl Rooms {
    /// The summary of a room that `user` may know of.
    ///
    /// # Errors
    /// [`ReadError::NotFound`] also where they may not.
    pub async fn summary(&self, user: Option<UserNr>, room: &RoomOrAliasId) -> Result<Summary, ReadError> {
        let id = match <&RoomId>::try_from(room) {
            Ok(id) => id.to_owned(),
            Err(alias) => self.resolve_alias(alias).await?.ok_or(ReadError::NotFound)?,
        };
        let room = self.find(&id).await?.ok_or(ReadError::NotFound)?;
        let card = self.cards(&[room.nr]).await?.remove(&room.nr).ok_or(ReadError::NotFound)?;
        if !self.may_know(user, room.nr, &card).await? {
            return Err(ReadError::NotFound);
        }
        let membership = match user {
            Some(user) => Some(self.membership(room.nr, user).await?.unwrap_or(Membership::Leave)),
            None => None,
        };
        Ok(Summary { card, membership })
    }
}
