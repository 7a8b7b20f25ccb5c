//! Who may look into a room, and as of when.
//!
//! **Invariant:** every read on behalf of a user begins with [`Rooms::open`]; an unknown room looks like a closed one.

use std::sync::Arc;

use ruma::RoomId;

use super::{
    Room, Rooms, StateKey, StateMap,
    visibility::{HistoryVisibility, visibility_of},
};
use crate::storage::{self, Membership, Sym, UserNr};

/// Why a user is not shown something.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Neither a member, nor a former one, nor is the room open to the world.
    #[error("the user is not in the room")]
    Forbidden,
    /// There is nothing such that the user may see.
    #[error("not found")]
    NotFound,
    #[error(transparent)]
    Storage(#[from] storage::Error),
}

/// A room that a user may look into.
#[derive(Debug, Clone)]
pub struct Reading {
    pub room: Arc<Room>,
    pub user: UserNr,
    /// `None`: never a member, or a former one who has forgotten the room.
    pub membership: Option<Membership>,
    /// The state that the user may know: the current one, or the one in which they left.
    pub state: StateMap,
    /// The current state.
    pub current: StateMap,
    /// Where a former member left the room's history.
    pub left_at: Option<i64>,
}

impl Rooms {
    /// Opens a room for a user who is in it or was, or for anybody where it is open to the world.
    ///
    /// # Errors
    /// [`ReadError::Forbidden`], also where there is no such room.
    pub async fn open(&self, user: UserNr, room_id: &RoomId) -> Result<Reading, ReadError> {
        let room = self.find(room_id).await?.ok_or(ReadError::Forbidden)?;
        let current = self.current_state(&room).await?;
        let memberships = self.memberships(user).await?;
        let member = memberships.of(room.nr).filter(|m| !m.forgotten).copied();
        let membership = member.map(|m| m.membership);
        let mut reading = Reading { room, user, membership, state: current.clone(), current, left_at: None };
        if membership == Some(Membership::Join) {
            return Ok(reading);
        }
        if let Some(member) = member {
            // Whatever became of them since, also a ban or another invitation. Who never was inside has nothing to look
            // back on.
            let trail = self.trails(&[member.nr]).await?.pop().unwrap_or_default();
            if let Some(left) = trail.leaving() {
                reading.state = self.state(left.frame).await?.state.clone();
                reading.left_at = left.ord;
                return Ok(reading);
            }
        }
        if self.history_visibility(&reading.current).await? == HistoryVisibility::WorldReadable {
            return Ok(reading);
        }
        Err(ReadError::Forbidden)
    }

    /// The history visibility that a state says.
    ///
    /// # Errors
    /// The database's own.
    pub async fn history_visibility(&self, state: &StateMap) -> storage::Result<HistoryVisibility> {
        match state.get(&StateKey::of(Sym::HISTORY_VISIBILITY)) {
            Some(nr) => Ok(visibility_of(&*self.event(*nr).await?)),
            None => Ok(HistoryVisibility::Shared),
        }
    }
}
