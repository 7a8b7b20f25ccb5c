//! Which members a device has been told of, so that lazily loaded ones are sent once.
//!
//! What is forgotten here is sent again: harmless. A member counts as told only once the device comes back with a token
//! from behind the answer that told it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use moka::sync::Cache;

use crate::storage::{DeviceNr, EventNr, Pos, RoomNr, UserNr};

/// Devices remembered.
const DEVICES: u64 = 20_000;
/// Members remembered for each of them.
const MEMBERS: usize = 4_000;

/// The memory of all devices.
#[derive(Clone)]
pub(super) struct MembersTold(Cache<Key, Arc<DeviceTold>>);

/// A device, and which of its connections: 0 is `/sync`.
type Key = (DeviceNr, u64);

/// The memory of one device.
#[derive(Default)]
pub(super) struct DeviceTold(Mutex<HashMap<(RoomNr, UserNr), Entry>>);

#[derive(Clone, Copy)]
struct Entry {
    event: EventNr,
    /// The position of the answer that told it.
    at: Pos,
}

impl MembersTold {
    pub fn new() -> Self {
        let idle = Duration::from_secs(2 * 3600);
        Self(Cache::builder().max_capacity(DEVICES).time_to_idle(idle).build())
    }

    pub fn of(&self, device: DeviceNr, connection: u64) -> Arc<DeviceTold> {
        self.0.get_with((device, connection), Arc::default)
    }

    /// The connection begins anew.
    pub fn forget(&self, device: DeviceNr, connection: u64) {
        self.0.invalidate(&(device, connection));
    }
}

impl DeviceTold {
    /// Whether the device, having read up to `since`, knows `event` as the membership of `user`.
    pub fn knows(&self, room: RoomNr, user: UserNr, event: EventNr, since: Pos) -> bool {
        self.lock().get(&(room, user)).is_some_and(|entry| entry.event == event && entry.at <= since)
    }

    /// Notes that the answer up to `at` tells these memberships.
    pub fn tell(&self, room: RoomNr, members: impl IntoIterator<Item = (UserNr, EventNr)>, at: Pos) {
        let mut told = self.lock();
        for (user, event) in members {
            match told.get_mut(&(room, user)) {
                // MembersTold again because the first answer may be lost: it counts from the earlier one that arrives.
                Some(entry) if entry.event == event => entry.at = entry.at.min(at),
                _ => drop(told.insert((room, user), Entry { event, at })),
            }
        }
        if told.len() > MEMBERS {
            told.clear();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(RoomNr, UserNr), Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_known_once_the_answer_was_received() {
        let (told, room, user) = (MembersTold::new(), RoomNr(1), UserNr::default());
        let device = told.of(DeviceNr(1), 0);
        device.tell(room, [(user, EventNr(5))], Pos(10));
        assert!(!device.knows(room, user, EventNr(5), Pos(9)));
        assert!(told.of(DeviceNr(1), 0).knows(room, user, EventNr(5), Pos(10)));
        assert!(!device.knows(room, user, EventNr(6), Pos(10)), "another membership event");
        assert!(
            !device.knows(RoomNr(2), user, EventNr(5), Pos(10))
                && !told.of(DeviceNr(2), 0).knows(room, user, EventNr(5), Pos(10))
        );
        told.forget(DeviceNr(1), 0);
        assert!(!told.of(DeviceNr(1), 0).knows(room, user, EventNr(5), Pos(10)));
    }
}
