//! Rooms by ID and by number.

use std::{collections::HashMap, sync::Arc};

use roost_spec::room_version::{RoomRules, RoomVersion};
use ruma::{OwnedRoomId, RoomId};

use super::Rooms;
use crate::{
    cache::Cache,
    storage::{self, Error, Result, RoomNr},
};

/// What never changes of a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Room {
    pub nr: RoomNr,
    pub id: OwnedRoomId,
    pub rules: &'static RoomRules,
}

/// In bytes each: some 50,000 rooms.
const CAPACITY: u64 = 16 << 20;

impl Room {
    /// About how many bytes it takes in one of the caches. Whoever creates a room on another server chooses its ID.
    fn weight(&self) -> u32 {
        u32::try_from(self.id.as_str().len() * 2 + 240).unwrap_or(u32::MAX)
    }
}

/// Rooms by ID and by number. Nothing of them changes, so nothing here is ever stale.
#[derive(Clone)]
pub(super) struct Known {
    by_id: Cache<OwnedRoomId, Arc<Room>>,
    by_nr: Cache<RoomNr, Arc<Room>>,
}

impl Known {
    pub fn new() -> Self {
        let by_id = Cache::weighed(CAPACITY, |_: &OwnedRoomId, room: &Arc<Room>| room.weight());
        let by_nr = Cache::weighed(CAPACITY, |_: &RoomNr, room: &Arc<Room>| room.weight());
        Self { by_id, by_nr }
    }

    pub fn insert(&self, room: &Arc<Room>) {
        self.by_id.insert(room.id.clone(), Arc::clone(room));
        self.by_nr.insert(room.nr, Arc::clone(room));
    }
}

impl Rooms {
    /// The room with the ID `id`; `None` where this server knows none.
    ///
    /// # Errors
    /// The database's own.
    pub async fn find(&self, id: &RoomId) -> Result<Option<Arc<Room>>> {
        if let Some(room) = self.0.caches.known.by_id.get(id) {
            return Ok(Some(room));
        }
        // No room has an ID that PostgreSQL could not keep.
        if id.as_str().contains('\0') {
            return Ok(None);
        }
        let row = storage::room::by_id(&self.0.pool, id.as_str()).await?;
        row.map(|row| self.known(row)).transpose()
    }

    /// Those rooms with one of `ids` that this server knows, in their order; one query at most.
    ///
    /// # Errors
    /// The database's own.
    pub async fn find_all(&self, ids: &[OwnedRoomId]) -> Result<Vec<Arc<Room>>> {
        let known = &self.0.caches.known.by_id;
        let mut found: Vec<Option<Arc<Room>>> = ids.iter().map(|id| known.get(id)).collect();
        let missing = ids.iter().zip(&found).filter(|(_, room)| room.is_none()).map(|(id, _)| id.as_str());
        let missing: Vec<&str> = missing.filter(|id| !id.contains('\0')).collect();
        if !missing.is_empty() {
            let read = storage::room::by_ids(&self.0.pool, &missing).await?;
            let read = read.into_iter().map(|row| self.known(row)).collect::<Result<Vec<_>>>()?;
            let read: HashMap<&RoomId, &Arc<Room>> = read.iter().map(|room| (&*room.id, room)).collect();
            for (id, place) in ids.iter().zip(&mut found).filter(|(_, place)| place.is_none()) {
                *place = read.get(&**id).map(|room| Arc::clone(room));
            }
        }
        Ok(found.into_iter().flatten().collect())
    }

    /// The room with the number `nr`.
    ///
    /// # Errors
    /// The database's own, or that no room has this number.
    pub async fn find_nr(&self, nr: RoomNr) -> Result<Arc<Room>> {
        let mut found = self.find_many(&[nr]).await?;
        found.remove(&nr).ok_or_else(|| Error::Inconsistent(format!("no room has number {}", nr.0)))
    }

    /// The rooms with the numbers `numbers`, in one query at most.
    ///
    /// # Errors
    /// The database's own.
    pub async fn find_many(&self, numbers: &[RoomNr]) -> Result<HashMap<RoomNr, Arc<Room>>> {
        let mut found = HashMap::with_capacity(numbers.len());
        let mut missing = Vec::new();
        for nr in numbers {
            match self.0.caches.known.by_nr.get(nr) {
                Some(room) => drop(found.insert(*nr, room)),
                None => missing.push(*nr),
            }
        }
        if !missing.is_empty() {
            for row in storage::room::by_nr(&self.0.pool, &missing).await? {
                found.insert(row.nr, self.known(row)?);
            }
        }
        Ok(found)
    }

    fn known(&self, row: storage::room::Row) -> Result<Arc<Room>> {
        let damaged = || Error::Inconsistent(format!("the ID or version of room {} can't be read", row.nr.0));
        let room = Arc::new(Room {
            nr: row.nr,
            id: RoomId::parse(&row.id).map_err(|_| damaged())?,
            rules: RoomVersion::parse(&row.version).ok_or_else(damaged)?.rules(),
        });
        self.0.caches.known.insert(&room);
        Ok(room)
    }
}
