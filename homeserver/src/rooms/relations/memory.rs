//! Which events have children, as the log tells: most events have none, and need no query to know it.

use std::{
    collections::{HashSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::{Related, Said};
use crate::{
    cache::Cache,
    log::{Apply, Slice},
    rooms::StoredEvent,
    storage::{Pos, RoomNr},
};

/// So many parents of newer events are kept in mind.
const TARGETS: usize = 50_000;
const RELATED: u64 = 50_000;
/// Rooms share counters of changes: one that changes too often makes another's sums be read again, no more.
const SHARDS: usize = 256;

pub(in crate::rooms) struct Memory {
    state: Mutex<State>,
    related: Cache<Arc<str>, Kept>,
}

#[derive(Clone)]
struct Kept {
    related: Arc<Related>,
    /// The redactions of the room's shard when it was read.
    redactions: u64,
}

struct State {
    /// Every child with a position above this has its parent in `targets`.
    floor: Option<Pos>,
    targets: HashSet<Arc<str>>,
    /// The order in which they are forgotten, with the first child's position.
    order: VecDeque<(Pos, Arc<str>)>,
    shards: Box<[Shard; SHARDS]>,
}

#[derive(Clone, Copy, Default)]
struct Shard {
    /// Children that came, and redactions.
    changes: u64,
    redactions: u64,
}

/// What is known without a query.
pub(super) enum Recalled {
    Childless,
    Sums(Arc<Related>),
    /// Ask the database; what it says may be kept if nothing changed since.
    Unknown {
        changes: u64,
    },
}

fn shard(room: RoomNr) -> usize {
    usize::try_from(room.0.cast_unsigned() % SHARDS as u64).unwrap_or(0)
}

impl Memory {
    pub fn new() -> Self {
        let state = State {
            floor: None,
            targets: HashSet::new(),
            order: VecDeque::new(),
            shards: Box::new([Shard::default(); SHARDS]),
        };
        Self { state: Mutex::new(state), related: Cache::new(RELATED) }
    }

    /// What is known of an event's children.
    pub(super) fn of(&self, event: &StoredEvent) -> Recalled {
        let state = self.lock();
        let shard = state.shards[shard(event.room)];
        let newer = state.floor.zip(event.pos).is_some_and(|(floor, pos)| pos > floor);
        if newer && !state.targets.contains(&event.id) {
            return Recalled::Childless;
        }
        match self.related.get(&event.id).filter(|kept| kept.redactions == shard.redactions) {
            Some(kept) => Recalled::Sums(kept.related),
            None => Recalled::Unknown { changes: shard.changes },
        }
    }

    /// Keeps what was read when the shard had counted `changes`.
    pub(super) fn keep(&self, event: &StoredEvent, related: &Arc<Related>, changes: u64) {
        let state = self.lock();
        let shard = state.shards[shard(event.room)];
        if shard.changes == changes {
            let kept = Kept { related: Arc::clone(related), redactions: shard.redactions };
            self.related.insert(Arc::clone(&event.id), kept);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned: PoisonError<_>| {
            // A parent may have been lost half-way in: nothing is known any more.
            let mut state: MutexGuard<'_, State> = poisoned.into_inner();
            state.floor = Some(Pos(i64::MAX));
            state
        })
    }
}

impl Apply for Memory {
    fn apply(&self, slice: &Slice, _own: bool) {
        let mut state = self.lock();
        let Some(events) = &slice.events else {
            if slice.rooms.is_empty() {
                return;
            }
            state.floor = Some(slice.last);
            state.targets.clear();
            state.order.clear();
            for shard in state.shards.iter_mut() {
                shard.changes += 1;
                shard.redactions += 1;
            }
            return;
        };
        state.floor.get_or_insert(Pos(slice.first.0 - 1));
        for event in events {
            if event.redacts.is_some() {
                let shard = &mut state.shards[shard(event.room)];
                shard.changes += 1;
                shard.redactions += 1;
            }
            // The word stands nowhere but in a content that relates to something, as a rule.
            if !event.json.contains("\"m.relates_to\"") {
                continue;
            }
            let Some(said) = StoredEvent::from_log(event).ok().as_ref().and_then(Said::of) else { continue };
            let target: Arc<str> = said.target.into();
            self.related.invalidate(&target);
            state.shards[shard(event.room)].changes += 1;
            if state.targets.insert(Arc::clone(&target)) {
                state.order.push_back((event.pos, target));
            }
        }
        while state.order.len() > TARGETS {
            if let Some((pos, target)) = state.order.pop_front() {
                state.targets.remove(&target);
                state.floor = state.floor.max(Some(pos));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{log::LogEvent, storage::EventNr};

    fn event(pos: i64, target: Option<&str>, redacts: Option<i64>) -> Arc<LogEvent> {
        let relates = target.map_or(String::new(), |target| {
            format!(r#""m.relates_to":{{"rel_type":"m.thread","event_id":"{target}"}}"#)
        });
        Arc::new(LogEvent {
            json: format!(r#"{{"content":{{{relates}}},"sender":"@a:b","type":"m.room.message"}}"#).into(),
            redacts: redacts.map(EventNr),
            ..LogEvent::of_test(RoomNr(1), pos)
        })
    }

    fn slice(first: i64, events: Option<Vec<Arc<LogEvent>>>) -> Slice {
        let last = first + events.as_ref().map_or(0, |events| events.len() as i64 - 1);
        Slice::of_test(first, last, vec![RoomNr(1)], events)
    }

    fn stored(pos: i64) -> StoredEvent {
        StoredEvent::from_log(&event(pos, None, None)).unwrap()
    }

    fn is_childless(memory: &Memory, pos: i64) -> bool {
        matches!(memory.of(&stored(pos)), Recalled::Childless)
    }

    #[test]
    fn what_came_since_the_start_needs_no_query_until_something_relates_to_it() {
        let memory = Memory::new();
        assert!(!is_childless(&memory, 9));
        memory.apply(&slice(10, Some(vec![event(10, None, None), event(11, Some("$10"), None)])), true);
        assert!(!is_childless(&memory, 9) && !is_childless(&memory, 10) && is_childless(&memory, 11));
        memory.apply(&slice(12, None), false);
        assert!(!is_childless(&memory, 11) && !is_childless(&memory, 12) && is_childless(&memory, 13));
    }

    #[test]
    fn sums_are_kept_until_a_child_comes_or_goes() {
        let memory = Memory::new();
        let root = stored(5);
        let read = |memory: &Memory| match memory.of(&root) {
            Recalled::Unknown { changes } => changes,
            _ => panic!("it should be unknown"),
        };
        let changes = read(&memory);
        memory.apply(&slice(10, Some(vec![event(10, Some("$5"), None)])), true);
        memory.keep(&root, &Arc::default(), changes);
        let changes = read(&memory);
        memory.keep(&root, &Arc::default(), changes);
        assert!(matches!(memory.of(&root), Recalled::Sums(_)));
        memory.apply(&slice(11, Some(vec![event(11, None, Some(10))])), true);
        let changes = read(&memory);
        memory.keep(&root, &Arc::default(), changes);
        memory.apply(&slice(12, Some(vec![event(12, Some("$5"), None)])), true);
        read(&memory);
    }
}
