//! `invite` and `knock`: the little that those see of a room who are not in it.
//!
//! Source: client-server API, "Stripped state".

use std::{collections::HashMap, sync::Arc};

use super::Sync;
use crate::{
    rooms::{Room, StateKey, StateMap, StoredEvent},
    storage::{EventNr, FrameNr, Result, RoomNr, Sym, member::OfUser},
};

/// A room with its stripped state.
#[derive(Debug)]
pub(super) struct Outside {
    pub room: Arc<Room>,
    pub state: Vec<Arc<StoredEvent>>,
}

/// What is shown besides the memberships of the reader and of who invited them.
const KINDS: [Sym; 7] =
    [Sym::CREATE, Sym::JOIN_RULES, Sym::CANONICAL_ALIAS, Sym::AVATAR, Sym::NAME, Sym::TOPIC, Sym::ENCRYPTION];

impl Sync {
    /// The rooms of `memberships`, invitations or knocks.
    ///
    /// # Errors
    /// The database's own.
    pub(super) async fn outside(
        &self,
        memberships: &[OfUser],
        rooms: &HashMap<RoomNr, Arc<Room>>,
    ) -> Result<Vec<Outside>> {
        if memberships.is_empty() {
            return Ok(Vec::new());
        }
        let numbers: Vec<EventNr> = memberships.iter().map(|m| m.nr).collect();
        let own = self.0.rooms.events(&numbers).await?;
        let frames: Vec<FrameNr> = own.iter().map(|event| event.frame).collect();
        let frames = self.0.rooms.state_many(&frames).await?;
        let chosen: Vec<Vec<EventNr>> = own.iter().zip(&frames).map(|(own, frame)| choose(own, &frame.state)).collect();
        let mut events = self.0.rooms.events(&chosen.concat()).await?.into_iter();
        let mut outside = Vec::with_capacity(own.len());
        for (own, chosen) in own.iter().zip(&chosen) {
            let mut state: Vec<Arc<StoredEvent>> = events.by_ref().take(chosen.len()).collect();
            state.push(Arc::clone(own));
            if let Some(room) = rooms.get(&own.room) {
                outside.push(Outside { room: Arc::clone(room), state });
            }
        }
        Ok(outside)
    }
}

fn choose(own: &StoredEvent, state: &StateMap) -> Vec<EventNr> {
    let keys = KINDS.into_iter().map(StateKey::of).chain([StateKey::member(own.sender)]);
    keys.filter_map(|key| state.get(&key).copied()).filter(|nr| *nr != own.nr).collect()
}
