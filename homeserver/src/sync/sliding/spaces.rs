//! The children of spaces, for the filters of lists. In memory; follows the log.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::super::Sync;
use crate::{
    cache::Cache,
    log::{Apply, Slice},
    rooms::{Doubted, StateMap, state},
    storage::{self, EventNr, FrameNr, Result, RoomNr, Sym},
};

/// What all spaces in memory may take, in bytes, roughly.
const CAPACITY: u64 = 16 << 20;

/// The memory of all spaces.
pub struct Spaces(Doubted<RoomNr, Links>);

/// The IDs of the rooms directly in a space.
pub(super) type Children = HashSet<Arc<str>>;

/// The links of one space.
#[derive(Clone)]
struct Links {
    /// The state that says so.
    frame: FrameNr,
    children: Arc<Children>,
}

impl Spaces {
    /// A memory that knows nothing.
    #[expect(clippy::new_without_default, reason = "an empty memory is no default of anything")]
    pub fn new() -> Self {
        let weigh = |_: &RoomNr, links: &Links| u32::try_from(128 + links.children.len() * 96).unwrap_or(u32::MAX);
        Self(Doubted::new(Cache::weighed(CAPACITY, weigh)))
    }
}

impl Apply for Spaces {
    fn apply(&self, slice: &Slice, _own: bool) {
        let Some(events) = &slice.events else { return slice.rooms.iter().for_each(|room| self.0.doubt(*room)) };
        for event in events {
            // Any event may settle which of two states holds, and a redacted link is none.
            let differs = || self.0.get(event.room).is_some_and(|links| links.frame != event.frame);
            if event.kind == Sym::SPACE_CHILD || event.redacts.is_some() || differs() {
                self.0.doubt(event.room);
            }
        }
    }
}

impl Sync {
    /// The children of each of `spaces`; a few queries at most, none as a rule.
    ///
    /// # Errors
    /// The database's own.
    pub(super) async fn children(&self, spaces: &[RoomNr]) -> Result<HashMap<RoomNr, Arc<Children>>> {
        let memory = &self.0.caches.spaces.0;
        let (mut found, mut missing) = (HashMap::with_capacity(spaces.len()), Vec::new());
        for space in spaces {
            match memory.get(*space) {
                Some(links) => drop(found.insert(*space, links.children)),
                None => missing.push(*space),
            }
        }
        if missing.is_empty() {
            return Ok(found);
        }
        let ticket = memory.ticket();
        let heads = storage::sync::frames(&self.0.pool, &missing).await?;
        let frames: Vec<FrameNr> = heads.iter().map(|(_, frame)| *frame).collect();
        let states = self.0.rooms.state_many(&frames).await?;
        let states: Vec<&StateMap> = states.iter().map(|frame| &frame.state).collect();
        for ((space, frame), children) in heads.into_iter().zip(self.children_in(&states).await?) {
            let children = Arc::new(children);
            memory.keep(ticket, space, Links { frame, children: Arc::clone(&children) });
            found.insert(space, children);
        }
        Ok(found)
    }

    async fn children_in(&self, states: &[&StateMap]) -> Result<Vec<Children>> {
        let links = |state: &StateMap| state::of_kind(state, Sym::SPACE_CHILD).collect::<Vec<(Sym, EventNr)>>();
        let links: Vec<Vec<(Sym, EventNr)>> = states.iter().map(|state| links(state)).collect();
        let numbers: Vec<EventNr> = links.iter().flatten().map(|(_, nr)| *nr).collect();
        // A child without servers to go by is none.
        let live = |content: Option<&str>| content.is_some_and(|via| via.starts_with('[') && via != "[]");
        let events = self.0.rooms.events(&numbers).await?;
        let live: HashSet<EventNr> =
            events.iter().filter(|event| live(event.content_value("via"))).map(|event| event.nr).collect();
        let keys: Vec<Sym> = links.iter().flatten().map(|(key, _)| *key).collect();
        let names = self.0.rooms.interner().texts(&keys).await?;
        let named = |links: Vec<(Sym, EventNr)>| {
            links.into_iter().filter(|(_, nr)| live.contains(nr)).filter_map(|(key, _)| names.get(&key).cloned())
        };
        Ok(links.into_iter().map(|links| named(links).collect()).collect())
    }
}
