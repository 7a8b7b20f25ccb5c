//! What the newest commits held besides events, in memory: a long-poll that is woken asks the database for nothing that is
//! not new.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{
    log::{Apply, LogReceipt, Slice},
    storage::{DeviceNr, Pos, RoomNr, UserNr},
};

/// Receipts kept in all; beyond, the memory of receipts begins anew.
const RECEIPTS: usize = 100_000;
/// Device-list changes kept.
const DEVICE_CHANGES: usize = 20_000;
/// Users and devices kept; beyond, their memory begins anew.
const OWNERS: usize = 500_000;

/// Positions of account data, to-device messages, device-list changes and receipts. Follows the log.
pub struct Touched(Mutex<State>);

#[derive(Default)]
struct State {
    owners: Owners,
    device_changes: DeviceChanges,
    receipts: Receipts,
}

/// The newest position of each user's account data and of each device's messages, as far as it lies above `floor`.
#[derive(Default)]
struct Owners {
    floor: Pos,
    account_data: HashMap<UserNr, Pos>,
    to_device: HashMap<DeviceNr, Pos>,
}

#[derive(Default)]
struct DeviceChanges {
    floor: Pos,
    /// Oldest first.
    list: VecDeque<(Pos, UserNr)>,
}

#[derive(Default)]
struct Receipts {
    floor: Pos,
    count: usize,
    rooms: HashMap<RoomNr, Vec<LogReceipt>>,
}

impl Touched {
    /// A memory that knows nothing up to `newest`.
    pub fn new() -> Self {
        let state = State::default();
        Self(Mutex::new(state))
    }

    /// Forgets everything up to `pos`: nothing was heard of it.
    pub fn begin_at(&self, pos: Pos) {
        self.lock().begin_at(pos);
    }

    /// Whether account data of `user` may have been written after `since`.
    pub fn account_data(&self, user: UserNr, since: Pos) -> bool {
        let state = self.lock();
        since < state.owners.floor || state.owners.account_data.get(&user).is_some_and(|pos| *pos > since)
    }

    /// Whether messages for `device` may have been queued after `since`.
    pub fn to_device(&self, device: DeviceNr, since: Pos) -> bool {
        let state = self.lock();
        since < state.owners.floor || state.owners.to_device.get(&device).is_some_and(|pos| *pos > since)
    }

    /// Whose device lists changed with `since < pos <= until`, sorted; `None` where memory does not say.
    pub fn device_changes(&self, since: Pos, until: Pos) -> Option<Vec<UserNr>> {
        let state = self.lock();
        if since < state.device_changes.floor {
            return None;
        }
        let newest_first = state.device_changes.list.iter().rev().take_while(|(pos, _)| *pos > since);
        let mut users: Vec<UserNr> = newest_first.filter(|(pos, _)| *pos <= until).map(|(_, user)| *user).collect();
        users.sort_unstable();
        users.dedup();
        Some(users)
    }

    /// The receipts in `room` with `since < pos <= until`, oldest first; `None` where memory does not say.
    pub fn receipts(&self, room: RoomNr, since: Pos, until: Pos) -> Option<Vec<LogReceipt>> {
        let state = self.lock();
        if since < state.receipts.floor {
            return None;
        }
        let Some(receipts) = state.receipts.rooms.get(&room) else { return Some(Vec::new()) };
        let first = receipts.partition_point(|receipt| receipt.pos <= since);
        Some(receipts[first..].iter().take_while(|receipt| receipt.pos <= until).cloned().collect())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(|poisoned| {
            // Half a slice may have been taken in. What is forgotten here is read from the database.
            let mut state = PoisonError::into_inner(poisoned);
            state.begin_at(Pos(i64::MAX));
            state
        })
    }
}

impl State {
    fn begin_at(&mut self, pos: Pos) {
        self.owners = Owners { floor: pos, ..Owners::default() };
        self.device_changes = DeviceChanges { floor: pos, ..DeviceChanges::default() };
        self.receipts = Receipts { floor: pos, ..Receipts::default() };
    }
}

impl Apply for Touched {
    fn apply(&self, slice: &Slice, _own: bool) {
        let mut state = self.lock();
        let Some(beside) = &slice.beside else { return state.begin_at(slice.last) };
        let owners = &mut state.owners;
        owners.account_data.extend(beside.account_data.iter().map(|user| (*user, slice.last)));
        owners.to_device.extend(beside.to_device.iter().map(|device| (*device, slice.last)));
        if owners.account_data.len() + owners.to_device.len() > OWNERS {
            *owners = Owners { floor: slice.last, ..Owners::default() };
        }

        let changes = &mut state.device_changes;
        changes.list.extend(beside.device_changes.iter().map(|user| (slice.last, *user)));
        while changes.list.len() > DEVICE_CHANGES {
            changes.floor = changes.list.pop_front().map_or(changes.floor, |(pos, _)| pos);
        }

        let receipts = &mut state.receipts;
        for receipt in &beside.receipts {
            receipts.rooms.entry(receipt.room).or_default().push(receipt.clone());
        }
        receipts.count += beside.receipts.len();
        if receipts.count > RECEIPTS {
            *receipts = Receipts { floor: slice.last, ..Receipts::default() };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Beside;

    fn slice(last: i64, beside: Option<Beside>) -> Slice {
        Slice {
            generation: 1,
            first: Pos(last),
            last: Pos(last),
            writer: 1,
            rooms: Vec::new(),
            users: Vec::new(),
            notices: Vec::new(),
            events: None,
            beside,
        }
    }

    fn receipt(pos: i64) -> LogReceipt {
        LogReceipt {
            pos: Pos(pos),
            room: RoomNr(1),
            user: UserNr::default(),
            private: false,
            thread: "".into(),
            event_id: "$e".into(),
            event_pos: None,
            ts: 0,
        }
    }

    #[test]
    fn what_was_heard_is_known_and_what_came_before_is_not() {
        let touched = Touched::new();
        touched.begin_at(Pos(10));
        let beside = Beside {
            receipts: vec![receipt(12), receipt(13)],
            account_data: vec![UserNr::CREATE],
            push_rules: None,
            to_device: vec![DeviceNr(1)],
            device_changes: vec![UserNr::NAME, UserNr::NAME],
        };
        touched.apply(&slice(13, Some(beside)), true);
        assert!(touched.account_data(UserNr::CREATE, Pos(12)) && !touched.account_data(UserNr::CREATE, Pos(13)));
        assert!(!touched.account_data(UserNr::NAME, Pos(10)) && touched.account_data(UserNr::NAME, Pos(9)));
        assert!(touched.to_device(DeviceNr(1), Pos(10)) && !touched.to_device(DeviceNr(2), Pos(10)));
        assert_eq!(touched.device_changes(Pos(10), Pos(13)), Some(vec![UserNr::NAME]));
        assert_eq!(touched.device_changes(Pos(13), Pos(13)), Some(vec![]));
        assert_eq!(touched.device_changes(Pos(9), Pos(13)), None);
        let places = |since, until| {
            touched.receipts(RoomNr(1), Pos(since), Pos(until)).map(|r| r.iter().map(|r| r.pos.0).collect::<Vec<_>>())
        };
        assert_eq!(
            (places(10, 13), places(12, 13), places(10, 12)),
            (Some(vec![12, 13]), Some(vec![13]), Some(vec![12]))
        );
        assert_eq!((places(9, 13), touched.receipts(RoomNr(2), Pos(10), Pos(13)).map(|r| r.len())), (None, Some(0)));
    }

    #[test]
    fn a_slice_that_does_not_say_ends_the_memory() {
        let touched = Touched::new();
        touched.begin_at(Pos(0));
        touched.apply(&slice(5, None), false);
        assert!(touched.account_data(UserNr::CREATE, Pos(4)) && !touched.account_data(UserNr::CREATE, Pos(5)));
        assert_eq!(touched.device_changes(Pos(4), Pos(5)), None);
    }
}
