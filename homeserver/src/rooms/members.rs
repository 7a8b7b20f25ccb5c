//! Who is in which room, as of the log's newest slice that this node has seen.

use std::sync::Arc;

use ruma::{OwnedRoomId, UserId};

use super::{Rooms, followed::Followed};
use crate::{
    cache::Cache,
    log::{Apply, Slice},
    storage::{self, Membership, Result, RoomNr, UserNr, member::OfUser},
};

/// A user's memberships.
#[derive(Debug, Clone)]
pub struct Memberships {
    /// All of them, forgotten ones included, by room.
    pub all: Box<[OfUser]>,
    /// The rooms that the user is joined to.
    pub joined: Arc<[RoomNr]>,
}

impl Memberships {
    fn new(all: Vec<OfUser>) -> Self {
        let joined = all.iter().filter(|m| m.membership == Membership::Join).map(|m| m.room).collect();
        Self { all: all.into(), joined }
    }

    /// The user's membership of `room`.
    pub fn of(&self, room: RoomNr) -> Option<&OfUser> {
        self.all.binary_search_by_key(&room, |m| m.room).ok().map(|at| &self.all[at])
    }
}

/// The cache behind: follows the log.
pub(super) struct Members {
    users: Followed<UserNr, Arc<Memberships>>,
    joined: Followed<RoomNr, Arc<[UserNr]>>,
}

/// In bytes each.
const CAPACITY: u64 = 16 << 20;

impl Members {
    pub fn new() -> Self {
        let users = Cache::weighed(CAPACITY, |_, m: &Arc<Memberships>| {
            u32::try_from(128 + m.all.len() * 48).unwrap_or(u32::MAX)
        });
        let joined =
            Cache::weighed(CAPACITY, |_, m: &Arc<[UserNr]>| u32::try_from(64 + m.len() * 4).unwrap_or(u32::MAX));
        Self { users: Followed::new(users), joined: Followed::new(joined) }
    }

    /// Drops what is known of `user`: for what changes a membership row beside the log.
    pub fn touch(&self, user: UserNr) {
        self.users.touch(user);
    }
}

impl Apply for Members {
    fn apply(&self, slice: &Slice, _own: bool) {
        for notice in &slice.notices {
            if let crate::log::Notice::User(user) = notice {
                self.users.touch(*user);
            }
        }
        match &slice.events {
            Some(events) => {
                for event in events.iter().filter(|e| e.membership.is_some()) {
                    self.joined.touch(event.room);
                    if let Some(user) = event.state_key {
                        self.users.touch(user);
                    }
                }
            }
            None => {
                slice.users.iter().for_each(|user| self.users.touch(*user));
                slice.rooms.iter().for_each(|room| self.joined.touch(*room));
            }
        }
    }
}

impl Rooms {
    /// The user's memberships.
    ///
    /// # Errors
    /// The database's own.
    pub async fn memberships(&self, user: UserNr) -> Result<Arc<Memberships>> {
        let load = || async { Ok(Arc::new(Memberships::new(storage::member::of_user(&self.0.pool, user).await?))) };
        self.0.caches.members.users.get_or_load(user, load).await
    }

    /// The user's membership of one room; `None` where there never was one.
    ///
    /// # Errors
    /// The database's own.
    pub async fn membership(&self, room: RoomNr, user: UserNr) -> Result<Option<Membership>> {
        Ok(self.memberships(user).await?.of(room).map(|m| m.membership))
    }

    /// The rooms that the user is joined to, by number.
    ///
    /// # Errors
    /// The database's own.
    pub async fn joined_rooms(&self, user: UserNr) -> Result<Arc<[RoomNr]>> {
        Ok(Arc::clone(&self.memberships(user).await?.joined))
    }

    /// The same where it is in memory.
    pub fn known_rooms(&self, user: UserNr) -> Option<Arc<[RoomNr]>> {
        self.0.caches.members.users.get(user).map(|memberships| Arc::clone(&memberships.joined))
    }

    /// Whether there is a room that both are joined to.
    ///
    /// # Errors
    /// The database's own.
    pub async fn share_a_room(&self, one: UserNr, other: UserNr) -> Result<bool> {
        let (one, other) = (self.joined_rooms(one).await?, self.joined_rooms(other).await?);
        Ok(one.iter().any(|room| other.binary_search(room).is_ok()))
    }

    /// The users that are joined to `room`, by number.
    ///
    /// # Errors
    /// The database's own.
    pub async fn joined_members(&self, room: RoomNr) -> Result<Arc<[UserNr]>> {
        let load = || async {
            let members = storage::member::of_room(&self.0.pool, room).await?;
            Ok(members.iter().filter(|m| m.membership == Membership::Join).map(|m| m.user).collect())
        };
        self.0.caches.members.joined.get_or_load(room, load).await
    }

    /// The rooms to which both are joined, sorted.
    ///
    /// # Errors
    /// The database's own.
    pub async fn rooms_in_common(&self, user: UserNr, other: &UserId) -> Result<Vec<OwnedRoomId>> {
        let Some(other) = self.0.interner.find(other.as_str()).await? else { return Ok(Vec::new()) };
        let (ours, theirs) = (self.joined_rooms(user).await?, self.joined_rooms(other).await?);
        // Both are sorted by number.
        let common: Vec<RoomNr> = ours.iter().copied().filter(|room| theirs.binary_search(room).is_ok()).collect();
        let rooms = self.find_many(&common).await?;
        let mut ids: Vec<OwnedRoomId> = rooms.into_values().map(|room| room.id.clone()).collect();
        ids.sort_unstable();
        Ok(ids)
    }
}
