//! Rooms' heads in memory: what is committed, and what is being committed on top of it.
//!
//! Within a node drafts are built one on top of another while a commit is under way. Each submitted head waits in a queue
//! until the log says that its commit is on disk; a refused one makes the whole head dead, and it is read anew.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard},
};

use roost_spec::event::{EventRef, Pdu};
use serde::Deserialize;

use super::{Room, Rooms, StateMap, followed::Followed, frames::Frames, state::Frame};
use crate::{
    cache::Cache,
    log::{Apply, LogEvent, Slice},
    metrics,
    storage::{self, Error, EventNr, Pos, Result, RoomNr},
};

/// Where a room's history ends.
#[derive(Debug, Clone)]
pub struct Head {
    pub tail: EventNr,
    pub frame: Arc<Frame>,
    /// The events that no other follows yet, with their depths.
    pub extremities: Arc<[Extremity]>,
    /// No event of the room has a greater position, as far as the head is committed.
    pub last_pos: Pos,
}

#[derive(Debug, Clone)]
pub struct Extremity {
    pub nr: EventNr,
    pub reference: EventRef,
    pub depth: i64,
}

/// A room's head as the cache holds it.
pub(super) struct Live(Mutex<State>);

pub(super) struct State {
    /// Refused or overtaken: nothing may be built on it, a new one is to be loaded.
    pub dead: bool,
    /// What the next draft is built on.
    pub newest: Head,
    committed: Head,
    /// Submitted heads, oldest first.
    in_flight: VecDeque<Head>,
}

impl Live {
    pub fn new(head: Head) -> Self {
        Self(Mutex::new(State { dead: false, newest: head.clone(), committed: head, in_flight: VecDeque::new() }))
    }

    pub fn lock(&self) -> MutexGuard<'_, State> {
        let mut state = self.0.lock().unwrap_or_else(|poisoned| {
            let mut state = poisoned.into_inner();
            // Whoever panicked may have built half an event.
            state.dead = true;
            state
        });
        if self.0.is_poisoned() {
            state.dead = true;
        }
        state
    }
}

impl State {
    /// Makes `head` the one to build on; it counts as committed when the log says so.
    pub fn advance(&mut self, head: Head) {
        self.newest = head.clone();
        self.in_flight.push_back(head);
    }

    /// Takes in events of this room that this node committed. `false` where the head does not know them.
    fn confirm(&mut self, last: &LogEvent) -> bool {
        if last.pos <= self.committed.last_pos {
            return true;
        }
        while let Some(head) = self.in_flight.pop_front() {
            let found = head.tail == last.nr;
            self.committed = head;
            if found {
                self.committed.last_pos = last.pos;
                return true;
            }
        }
        false
    }

    /// Takes in events that another node committed. `false` where they do not extend exactly this head.
    fn follow(&mut self, events: &[Arc<LogEvent>], frames: &Frames) -> bool {
        let Some(last) = events.last() else { return true };
        if last.pos <= self.committed.last_pos {
            return true;
        }
        if !self.in_flight.is_empty() {
            return false;
        }
        let mut head = self.committed.clone();
        for event in events {
            // A pair of ID and hash (room versions 1 and 2) does not read as a list of IDs: such heads are read anew.
            let Ok(links) = serde_json::from_str::<Links>(&event.json) else { return false };
            let extends = links.prev_events.len() == head.extremities.len()
                && head.extremities.iter().all(|e| links.prev_events.iter().any(|id| **id == *e.reference.event_id));
            if !extends {
                return false;
            }
            if event.frame != head.frame.nr {
                let Some(key) = event.state_key else { return false };
                let change = (super::StateKey::new(event.kind, key), event.nr);
                head.frame = Arc::new(head.frame.child(event.frame, vec![change]).0);
                frames.insert(&head.frame);
            }
            head.tail = event.nr;
            let reference = EventRef { event_id: Box::from(&*event.id), sha256: None };
            head.extremities = Arc::new([Extremity { nr: event.nr, reference, depth: links.depth }]);
        }
        head.last_pos = last.pos;
        self.committed = head.clone();
        self.newest = head;
        true
    }
}

#[derive(Deserialize)]
struct Links {
    prev_events: Vec<Box<str>>,
    depth: i64,
}

/// The heads of the rooms that this node serves. Follows the log.
pub(super) struct Heads {
    rooms: Followed<RoomNr, Arc<Live>>,
    frames: Frames,
}

/// How much of rooms' heads is kept, in bytes: some 10,000 rooms of usual size. A state shares most of its structure with
/// those before it, but not with those of other rooms.
const CAPACITY: u64 = 128 << 20;

/// No head is so large that it would not be kept.
fn weight(live: &Live) -> u32 {
    u32::try_from(2048 + live.lock().committed.frame.state.len() * 24).unwrap_or(u32::MAX).min(8 << 20)
}

impl Heads {
    pub fn new(frames: Frames) -> Self {
        let rooms = Cache::weighed(CAPACITY, |_: &RoomNr, live: &Arc<Live>| weight(live));
        Self { rooms: Followed::new(rooms), frames }
    }

    /// Makes `live` dead, and makes sure that nobody finds it again.
    pub fn kill(&self, room: RoomNr, live: &Arc<Live>) {
        live.lock().dead = true;
        if self.rooms.get(room).is_some_and(|current| Arc::ptr_eq(&current, live)) {
            self.rooms.touch(room);
        }
    }

    fn drop_room(&self, room: RoomNr) {
        if let Some(live) = self.rooms.get(room) {
            live.lock().dead = true;
        }
        self.rooms.touch(room);
    }
}

impl Apply for Heads {
    fn apply(&self, slice: &Slice, own: bool) {
        let Some(events) = &slice.events else {
            slice.rooms.iter().for_each(|room| self.drop_room(*room));
            return;
        };
        for chunk in events.chunk_by(|a, b| a.room == b.room) {
            let Some(last) = chunk.last() else { continue };
            let Some(live) = self.rooms.get(last.room) else {
                self.rooms.touch(last.room);
                continue;
            };
            let mut state = live.lock();
            let current = if own { state.confirm(last) } else { state.follow(chunk, &self.frames) };
            drop(state);
            if !current {
                self.kill(last.room, &live);
            }
        }
    }
}

impl Rooms {
    /// The committed head of a room.
    ///
    /// # Errors
    /// The database's own, or that the room has none.
    pub async fn head(&self, room: &Room) -> Result<Head> {
        let live = self.live(room).await?;
        let state = live.lock();
        Ok(state.committed.clone())
    }

    /// The room's current state.
    ///
    /// # Errors
    /// The database's own, or that the room has none.
    pub async fn current_state(&self, room: &Room) -> Result<StateMap> {
        Ok(self.head(room).await?.frame.state.clone())
    }

    pub(super) async fn live(&self, room: &Room) -> Result<Arc<Live>> {
        let heads = &self.0.caches.heads;
        let found = heads.rooms.get(room.nr);
        metrics::CACHE_ROOMS.looked_up(found.is_some());
        if let Some(live) = found {
            return Ok(live);
        }
        let load = || async { Ok(Arc::new(Live::new(self.load_head(room).await?))) };
        heads.rooms.get_or_load(room.nr, load).await
    }

    async fn load_head(&self, room: &Room) -> Result<Head> {
        let hashes = room.rules.references_carry_hashes();
        let head = storage::head::load(&self.0.pool, room.nr, hashes)
            .await?
            .ok_or_else(|| Error::Inconsistent(format!("room {} has no head", room.nr.0)))?;
        let extremities = head.extremities.into_iter().map(|e| {
            let reference = match &e.json {
                Some(json) => Pdu::parse_trusted(room.rules, json, Some(&e.id))
                    .map_err(|error| Error::Inconsistent(format!("event {} can't be read: {error}", e.nr.0)))?
                    .reference(),
                None => EventRef { event_id: e.id.into(), sha256: None },
            };
            Ok(Extremity { nr: e.nr, reference, depth: e.depth })
        });
        Ok(Head {
            tail: head.tail,
            extremities: extremities.collect::<Result<_>>()?,
            frame: self.state(head.frame).await?,
            last_pos: head.last_pos,
        })
    }

    /// Puts in the head of a room that is being created.
    pub(super) fn insert_head(&self, room: RoomNr, live: &Arc<Live>) {
        self.0.caches.heads.rooms.insert(room, Arc::clone(live));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{FrameNr, Sym};

    const ROOM: RoomNr = RoomNr(1);

    fn head(tail: i64) -> Head {
        let reference = EventRef { event_id: format!("${tail}").into(), sha256: None };
        Head {
            tail: EventNr(tail),
            frame: Arc::default(),
            extremities: Arc::new([Extremity { nr: EventNr(tail), reference, depth: tail }]),
            last_pos: Pos(tail),
        }
    }

    fn event(nr: i64, after: &[i64], state: Option<i64>) -> Arc<LogEvent> {
        let after: Vec<String> = after.iter().map(|nr| format!("${nr}")).collect();
        Arc::new(LogEvent {
            state_key: state.map(|_| Sym::EMPTY),
            frame: FrameNr(state.unwrap_or(0)),
            json: serde_json::json!({ "prev_events": after, "depth": nr }).to_string().into(),
            ..LogEvent::of_test(ROOM, nr)
        })
    }

    fn slice(events: Option<Vec<Arc<LogEvent>>>) -> Slice {
        Slice::of_test(1, 100, vec![ROOM], events)
    }

    fn heads() -> (Heads, Arc<Live>) {
        let heads = Heads::new(Frames::new());
        let live = Arc::new(Live::new(head(1)));
        heads.rooms.insert(ROOM, Arc::clone(&live));
        (heads, live)
    }

    #[test]
    fn another_nodes_events_on_top_of_the_head_advance_it() {
        let (heads, live) = heads();
        heads.apply(&slice(Some(vec![event(2, &[1], None), event(3, &[2], Some(30))])), false);
        let state = live.lock();
        assert!(!state.dead);
        assert_eq!(
            (state.newest.tail, state.newest.frame.nr, state.newest.last_pos),
            (EventNr(3), FrameNr(30), Pos(3))
        );
        assert_eq!(state.newest.frame.state.get(&super::super::StateKey::of(Sym(17))), Some(&EventNr(3)));
        assert_eq!((&*state.newest.extremities[0].reference.event_id, state.newest.extremities[0].depth), ("$3", 3));
    }

    #[test]
    fn what_does_not_extend_the_head_makes_it_dead() {
        for unseen in [Some(vec![event(3, &[2], None)]), Some(vec![event(3, &[1, 2], None)]), None] {
            let (heads, live) = heads();
            heads.apply(&slice(unseen), false);
            assert!(live.lock().dead && heads.rooms.get(ROOM).is_none());
        }
        // So does anything of another node while commits of this one are under way.
        let (heads, live) = heads();
        live.lock().advance(head(2));
        heads.apply(&slice(Some(vec![event(3, &[1], None)])), false);
        assert!(live.lock().dead);
    }

    #[test]
    fn own_commits_confirm_what_was_submitted_one_by_one() {
        let (heads, live) = heads();
        for tail in [2, 3, 4] {
            live.lock().advance(Head { last_pos: Pos(1), ..head(tail) });
        }
        heads.apply(&slice(Some(vec![event(2, &[1], None), event(3, &[2], None)])), true);
        let state = live.lock();
        assert_eq!(
            (state.committed.tail, state.committed.last_pos, state.newest.tail),
            (EventNr(3), Pos(3), EventNr(4))
        );
        assert_eq!(state.in_flight.len(), 1);
        drop(state);
        // What was known when the head was read is no news.
        heads.apply(&slice(Some(vec![event(1, &[0], None)])), false);
        assert!(!live.lock().dead);
    }
}
