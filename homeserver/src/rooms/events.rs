//! Events in memory: by number, and by ID. Fed by the log, so that what was just sent is read without a query.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use super::{Rooms, StoredEvent, recent::Recent};
use crate::{
    cache::Cache,
    log::{Apply, Slice},
    metrics,
    storage::{self, Error, EventNr, Result, RoomNr},
};

/// In bytes.
const CAPACITY: u64 = 64 << 20;
/// The same for IDs.
const IDS: u64 = 10 << 20;
/// Beyond so many rooms with doubtful events everything is dropped instead.
const DOUBTED: usize = 10_000;

/// Events by number and by ID, and the newest of each room. Follows the log.
///
/// Of an event only its redaction changes, so that is all that makes an entry stale.
pub(super) struct Events {
    by_nr: Cache<EventNr, Entry>,
    by_id: Cache<Arc<str>, EventNr>,
    doubt: Mutex<Doubt>,
    any_doubt: AtomicBool,
    pub recent: Recent,
}

#[derive(Clone)]
struct Entry {
    event: Arc<StoredEvent>,
    /// The count of changes when it was read.
    read_at: u64,
}

/// What may have been redacted unseen.
#[derive(Default)]
struct Doubt {
    /// Counts redactions, and slices that came without their events.
    changes: u64,
    /// Rooms in slices without events: what was read before the change may be stale.
    rooms: HashMap<RoomNr, u64>,
}

impl Events {
    pub fn new() -> Self {
        Self {
            by_nr: Cache::weighed(CAPACITY, |_, entry: &Entry| entry.event.weight()),
            by_id: Cache::weighed(IDS, |id: &Arc<str>, _: &EventNr| u32::try_from(id.len() + 120).unwrap_or(u32::MAX)),
            doubt: Mutex::default(),
            any_doubt: AtomicBool::new(false),
            recent: Recent::new(),
        }
    }

    /// The event, if it is here and not doubtful.
    pub fn get(&self, nr: EventNr) -> Option<Arc<StoredEvent>> {
        let entry = self.by_nr.get(&nr);
        metrics::CACHE_EVENTS.looked_up(entry.is_some());
        let entry = entry?;
        if self.any_doubt.load(Ordering::Acquire) {
            let doubt = self.doubt();
            if doubt.rooms.get(&entry.event.room).is_some_and(|change| *change > entry.read_at) {
                return None;
            }
        }
        Some(entry.event)
    }

    /// Keeps what was read when `read_at` changes had been counted, unless something changed since.
    fn keep(&self, events: &[Arc<StoredEvent>], read_at: u64) {
        let doubt = self.doubt();
        if doubt.changes == read_at {
            for event in events {
                self.by_nr.insert(event.nr, Entry { event: Arc::clone(event), read_at });
            }
        }
    }

    fn doubt(&self) -> MutexGuard<'_, Doubt> {
        // A panic between two steps can only have counted a change too many.
        self.doubt.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Apply for Events {
    fn apply(&self, slice: &Slice, _own: bool) {
        self.recent.apply(slice);
        let mut doubt = self.doubt();
        let Some(events) = &slice.events else {
            if slice.rooms.is_empty() {
                return;
            }
            doubt.changes += 1;
            let change = doubt.changes;
            doubt.rooms.extend(slice.rooms.iter().map(|room| (*room, change)));
            if doubt.rooms.len() > DOUBTED {
                self.by_nr.invalidate_all();
                doubt.rooms.clear();
            }
            self.any_doubt.store(!doubt.rooms.is_empty(), Ordering::Release);
            return;
        };
        for event in events {
            match StoredEvent::from_log(event) {
                Ok(stored) => {
                    self.by_id.insert(Arc::clone(&stored.id), stored.nr);
                    self.by_nr.insert(stored.nr, Entry { event: Arc::new(stored), read_at: doubt.changes });
                }
                Err(error) => tracing::error!(%error, "an event of the log"),
            }
        }
        for target in events.iter().filter_map(|e| e.redacts) {
            doubt.changes += 1;
            self.by_nr.invalidate(&target);
        }
    }
}

impl Rooms {
    /// The events with these numbers, in their order; one query at most.
    ///
    /// # Errors
    /// The database's own, or that an event is missing.
    pub async fn events(&self, numbers: &[EventNr]) -> Result<Vec<Arc<StoredEvent>>> {
        let cache = &self.0.caches.events;
        let mut found: Vec<Option<Arc<StoredEvent>>> = numbers.iter().map(|nr| cache.get(*nr)).collect();
        let mut missing: Vec<EventNr> =
            numbers.iter().zip(&found).filter(|(_, event)| event.is_none()).map(|(nr, _)| *nr).collect();
        if !missing.is_empty() {
            missing.sort_unstable();
            missing.dedup();
            let read_at = cache.doubt().changes;
            let mut read: Vec<Arc<StoredEvent>> = storage::event::by_nrs(&self.0.pool, &missing)
                .await?
                .into_iter()
                .map(|row| StoredEvent::from_row(row).map(Arc::new))
                .collect::<Result<_>>()?;
            cache.keep(&read, read_at);
            read.sort_unstable_by_key(|event| event.nr);
            for (nr, place) in numbers.iter().zip(&mut found).filter(|(_, place)| place.is_none()) {
                let at = read
                    .binary_search_by_key(nr, |event| event.nr)
                    .map_err(|_| Error::Inconsistent(format!("event {} is missing", nr.0)))?;
                *place = Some(Arc::clone(&read[at]));
            }
        }
        Ok(found.into_iter().flatten().collect())
    }

    /// One event by its number.
    ///
    /// # Errors
    /// The database's own, or that the event is missing.
    pub async fn event(&self, nr: EventNr) -> Result<Arc<StoredEvent>> {
        let event = self.events(&[nr]).await?.pop();
        event.ok_or_else(|| Error::Inconsistent(format!("event {} is missing", nr.0)))
    }

    /// The event of `room` with the ID `id`, wherever it stands; `None` where the room has none such.
    ///
    /// # Errors
    /// The database's own.
    pub async fn event_by_id(&self, room: RoomNr, id: &str) -> Result<Option<Arc<StoredEvent>>> {
        let Some(nr) = self.event_nrs(&[id]).await?.into_iter().flatten().next() else { return Ok(None) };
        Ok(Some(self.event(nr).await?).filter(|event| event.room == room))
    }

    /// The numbers of the events with these IDs, of whatever room, in their order.
    ///
    /// # Errors
    /// The database's own.
    pub async fn event_nrs(&self, ids: &[&str]) -> Result<Vec<Option<EventNr>>> {
        let by_id = &self.0.caches.events.by_id;
        let mut found: Vec<Option<EventNr>> = ids.iter().map(|id| by_id.get(*id)).collect();
        // No event has an ID that PostgreSQL could not keep.
        let askable = |id: &str| !id.contains('\0');
        let missing: Vec<&str> =
            ids.iter().zip(&found).filter(|(id, nr)| nr.is_none() && askable(id)).map(|(id, _)| *id).collect();
        if !missing.is_empty() {
            let read: HashMap<String, EventNr> =
                storage::event::nrs_by_ids(&self.0.pool, &missing).await?.into_iter().collect();
            for (id, place) in ids.iter().zip(&mut found).filter(|(_, place)| place.is_none()) {
                *place = read.get(*id).copied();
            }
            for (id, nr) in read {
                by_id.insert(id.into(), nr);
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::LogEvent;

    fn log_event(nr: i64, redacts: Option<i64>) -> Arc<LogEvent> {
        Arc::new(LogEvent { redacts: redacts.map(EventNr), ..LogEvent::of_test(RoomNr(1), nr) })
    }

    fn slice(pos: i64, events: Option<Vec<Arc<LogEvent>>>) -> Slice {
        Slice::of_test(pos, pos, vec![RoomNr(1)], events)
    }

    #[test]
    fn a_redaction_drops_its_target_and_what_was_read_before_it() {
        let events = Events::new();
        events.apply(&slice(1, Some(vec![log_event(1, None)])), true);
        let read_at = events.doubt().changes;
        let before = events.get(EventNr(1)).unwrap();
        events.apply(&slice(2, Some(vec![log_event(2, Some(1))])), true);
        assert!(events.get(EventNr(1)).is_none() && events.get(EventNr(2)).is_some());
        events.keep(&[Arc::clone(&before)], read_at);
        assert!(events.get(EventNr(1)).is_none());
    }

    #[test]
    fn a_slice_without_its_events_makes_the_room_doubtful_until_it_is_read_again() {
        let events = Events::new();
        events.apply(&slice(1, Some(vec![log_event(1, None)])), true);
        let event = events.get(EventNr(1)).unwrap();
        events.apply(&slice(2, None), false);
        assert!(events.get(EventNr(1)).is_none());
        let read_at = events.doubt().changes;
        events.keep(&[event], read_at);
        assert!(events.get(EventNr(1)).is_some());
    }
}
