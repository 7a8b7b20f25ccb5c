//! What filters of lists ask of rooms: their type, and whether they are encrypted. In memory; follows the log.

use std::{collections::HashMap, sync::Arc};

use serde::Deserialize;

use super::super::Sync;
use crate::{
    cache::Cache,
    log::{Apply, Slice},
    rooms::{Doubted, StateKey},
    storage::{self, EventNr, FrameNr, Result, RoomNr, Sym},
};

/// Rooms remembered.
const ROOMS: u64 = 100_000;

/// The memory of all rooms.
pub struct Metas(Doubted<RoomNr, Meta>);

/// What is known of a room.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Meta {
    pub room_type: Option<Arc<str>>,
    pub encrypted: bool,
}

/// The content of `m.room.create`, as far as it matters here.
#[derive(Deserialize)]
struct Create {
    #[serde(rename = "type")]
    room_type: Option<Arc<str>>,
}

impl Metas {
    /// A memory that knows nothing.
    #[expect(clippy::new_without_default, reason = "an empty memory is no default of anything")]
    pub fn new() -> Self {
        Self(Doubted::new(Cache::new(ROOMS)))
    }
}

impl Apply for Metas {
    fn apply(&self, slice: &Slice, _own: bool) {
        match &slice.events {
            Some(events) => events
                .iter()
                .filter(|event| event.kind == Sym::ENCRYPTION || event.redacts.is_some())
                .for_each(|event| self.0.doubt(event.room)),
            None => slice.rooms.iter().for_each(|room| self.0.doubt(*room)),
        }
    }
}

impl Sync {
    /// What is known of `rooms`; a few queries at most, none as a rule.
    ///
    /// # Errors
    /// The database's own.
    pub(super) async fn metas(&self, rooms: &[RoomNr]) -> Result<HashMap<RoomNr, Meta>> {
        let memory = &self.0.caches.metas.0;
        let (mut found, mut missing) = (HashMap::with_capacity(rooms.len()), Vec::new());
        for room in rooms {
            match memory.get(*room) {
                Some(meta) => drop(found.insert(*room, meta)),
                None => missing.push(*room),
            }
        }
        if missing.is_empty() {
            return Ok(found);
        }
        let ticket = memory.ticket();
        let heads = storage::sync::frames(&self.0.pool, &missing).await?;
        let frames: Vec<FrameNr> = heads.iter().map(|(_, frame)| *frame).collect();
        let states = self.0.rooms.state_many(&frames).await?;
        let creates: Vec<EventNr> =
            states.iter().filter_map(|frame| frame.state.get(&StateKey::of(Sym::CREATE)).copied()).collect();
        let types: HashMap<RoomNr, Option<Arc<str>>> = self
            .0
            .rooms
            .events(&creates)
            .await?
            .iter()
            .map(|event| (event.room, event.read_content::<Create>().and_then(|create| create.room_type)))
            .collect();
        for ((room, _), frame) in heads.iter().zip(&states) {
            let encrypted = frame.state.contains_key(&StateKey::of(Sym::ENCRYPTION));
            let meta = Meta { room_type: types.get(room).cloned().flatten(), encrypted };
            memory.keep(ticket, *room, meta.clone());
            found.insert(*room, meta);
        }
        Ok(found)
    }
}
