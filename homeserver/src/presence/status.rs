//! Who is online: worked out of what each device says and of what other nodes tell, with the time passed in.
//!
//! A device counts while it polls and a little longer. A user is what their busiest device is; whoever does nothing for a
//! while is unavailable, however their clients poll. What is *published* has a stamp and goes to syncs; it follows what
//! is true in steps, so that a flicker between two steps is told to nobody. A publication of another node's is one here at
//! once; what only agrees with what is published is none.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use super::order::{Mark, Marks, Positions};
use crate::storage::{DeviceNr, UserNr};

/// `presence`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Connected to nothing, or not to be seen.
    #[default]
    Offline,
    /// Not reachable at this time.
    Unavailable,
    /// Connected, and active lately.
    Online,
}

/// A user's presence. All times are milliseconds since 1970.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    pub state: State,
    pub message: Option<Arc<str>>,
    /// When the user last did something of their own accord; 0: not known.
    pub active_ts: i64,
}

/// What nodes tell each other about a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Told {
    pub user: UserNr,
    pub state: State,
    pub active_ts: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<Arc<str>>,
    pub message_ts: i64,
    /// The number of the publication; 0 where it is none.
    #[serde(default)]
    pub nr: u64,
}

/// A device that stopped to poll is gone after this.
const GONE_AFTER: i64 = 30_000;
/// Who did nothing for so long is unavailable.
const IDLE_AFTER: i64 = 5 * 60_000;
/// What another node told holds for so long; it tells again before.
const TOLD_HOLDS: i64 = 75_000;
/// Users in memory: beyond, those who are offline are forgotten.
const CAPACITY: usize = 100_000;

/// Everybody of whom something is known.
#[derive(Debug, Default)]
pub(super) struct Statuses {
    users: HashMap<UserNr, User>,
    /// Who was published when: a user has one stamp, the newest.
    stamps: BTreeMap<u64, UserNr>,
    /// Of whom which process's publication was the last.
    marks: BTreeMap<Mark, UserNr>,
    /// Whose published status may not be the true one any more.
    dirty: HashSet<UserNr>,
}

#[derive(Debug, Default)]
struct User {
    /// On this node.
    devices: Vec<Device>,
    elsewhere: Vec<Elsewhere>,
    message: Option<Arc<str>>,
    message_ts: i64,
    active_ts: i64,
    published: Status,
    stamp: u64,
    marks: Marks,
    /// What changed here showed with another process's publication: the others are to hear of it all the same.
    owed: bool,
    /// What the other nodes know from this one.
    told: Option<(State, i64)>,
}

#[derive(Debug)]
struct Device {
    nr: DeviceNr,
    state: State,
    /// Requests that wait at this moment.
    polls: u32,
    seen_ts: i64,
}

/// What another node says.
#[derive(Debug)]
struct Elsewhere {
    node: i64,
    state: State,
    until: i64,
}

impl User {
    fn here(&self, now: i64) -> State {
        let alive = |device: &&Device| device.polls > 0 || now - device.seen_ts < GONE_AFTER;
        let state = self.devices.iter().filter(alive).map(|device| device.state).max().unwrap_or_default();
        if state == State::Online && now - self.active_ts >= IDLE_AFTER { State::Unavailable } else { state }
    }

    fn now(&self, now: i64) -> Status {
        let elsewhere = self.elsewhere.iter().filter(|it| it.until > now).map(|it| it.state).max();
        let state = self.here(now).max(elsewhere.unwrap_or_default());
        Status { state, message: self.message.clone(), active_ts: self.active_ts }
    }

    fn is_published(&self, now: i64) -> bool {
        let true_one = self.now(now);
        (true_one.state, &true_one.message) == (self.published.state, &self.published.message)
            && self.told.is_none_or(|told| told == (self.here(now), self.message_ts))
    }

    fn device(&mut self, nr: DeviceNr, now: i64) -> &mut Device {
        let at = self.devices.iter().position(|device| device.nr == nr).unwrap_or_else(|| {
            self.devices.push(Device { nr, state: State::Offline, polls: 0, seen_ts: now });
            self.devices.len() - 1
        });
        &mut self.devices[at]
    }
}

impl Statuses {
    /// A device begins to poll.
    pub fn poll(&mut self, user: UserNr, device: DeviceNr, state: State, now: i64) -> bool {
        let entry = self.users.entry(user).or_default();
        // Coming back is an act of the user's; to go on polling is not, on whichever node.
        if entry.now(now).state == State::Offline {
            entry.active_ts = now;
        }
        let device = entry.device(device, now);
        (device.polls, device.state, device.seen_ts) = (device.polls + 1, state, now);
        self.check(user, now)
    }

    /// A poll ends.
    pub fn end_poll(&mut self, user: UserNr, device: DeviceNr, now: i64) {
        if let Some(device) =
            self.users.get_mut(&user).and_then(|entry| entry.devices.iter_mut().find(|it| it.nr == device))
        {
            device.polls = device.polls.saturating_sub(1);
            device.seen_ts = now;
        }
    }

    /// The user says what they are.
    pub fn set(&mut self, user: UserNr, device: DeviceNr, state: State, message: Option<Arc<str>>, now: i64) -> bool {
        let entry = self.users.entry(user).or_default();
        if state == State::Online {
            entry.active_ts = now;
        }
        if entry.message != message {
            (entry.message, entry.message_ts) = (message, now);
        }
        let device = entry.device(device, now);
        (device.state, device.seen_ts) = (state, now);
        self.check(user, now)
    }

    /// The user did something of their own accord.
    pub fn active(&mut self, user: UserNr, device: DeviceNr, now: i64) -> bool {
        let Some(entry) = self.users.get_mut(&user) else { return false };
        entry.active_ts = now;
        if let Some(device) = entry.devices.iter_mut().find(|it| it.nr == device && it.state == State::Unavailable) {
            device.state = State::Online;
        }
        self.check(user, now)
    }

    /// Another node tells. Returns whether there is anything to publish.
    pub fn hear(&mut self, node: i64, told: &Told, now: i64, next: impl Fn() -> u64) -> bool {
        let pending = self.dirty.contains(&told.user);
        let entry = self.users.entry(told.user).or_default();
        entry.elsewhere.retain(|it| it.node != node && it.until > now);
        if told.state != State::Offline {
            entry.elsewhere.push(Elsewhere { node, state: told.state, until: now + TOLD_HOLDS });
        }
        entry.active_ts = entry.active_ts.max(told.active_ts);
        if told.message_ts > entry.message_ts {
            (entry.message, entry.message_ts) = (told.message.clone(), told.message_ts);
        }
        // What came from there need not be told back.
        let here = entry.here(now);
        entry.told = Some(entry.told.map_or((here, entry.message_ts), |(state, _)| (state, entry.message_ts)));
        if told.nr > 0 {
            let before = entry.marks.put((node, told.nr));
            before.and_then(|mark| self.marks.remove(&mark));
            self.marks.insert((node, told.nr), told.user);
        }
        // What was published elsewhere is told here whether or not it changes anything: some may have heard there what this node
        // never saw. And of whom nothing was known, all that other nodes know was published there.
        if told.nr > 0 || entry.stamp == 0 {
            entry.publish(told.user, now, &mut self.stamps, next, told.nr > 0);
            entry.owed |= pending;
        }
        self.check(told.user, now)
    }

    /// Notes whose time has run out. Returns whether there is anything to publish.
    pub fn expire(&mut self, now: i64) -> bool {
        let Self { users, dirty, .. } = self;
        for (nr, user) in users.iter_mut() {
            user.devices.retain(|device| device.polls > 0 || now - device.seen_ts < GONE_AFTER);
            user.elsewhere.retain(|it| it.until > now);
            if !user.is_published(now) {
                dirty.insert(*nr);
            }
        }
        if users.len() > CAPACITY {
            let (stamps, marks) = (&mut self.stamps, &mut self.marks);
            users.retain(|nr, user| {
                let stays = user.published.state != State::Offline || dirty.contains(nr);
                if !stays {
                    stamps.remove(&user.stamp);
                    for mark in user.marks.iter() {
                        marks.remove(&mark);
                    }
                }
                stays
            });
        }
        !dirty.is_empty()
    }

    /// Publishes what has changed, under stamps of `next` and marks of `mark`. Returns what the other nodes are to be told.
    pub fn publish(&mut self, now: i64, next: impl Fn() -> u64, mut mark: impl FnMut() -> Mark) -> Vec<Told> {
        let mut tell = Vec::new();
        for nr in std::mem::take(&mut self.dirty) {
            let Some(user) = self.users.get_mut(&nr) else { continue };
            let here = user.here(now);
            let owed = std::mem::take(&mut user.owed);
            if user.publish(nr, now, &mut self.stamps, &next, owed) || owed {
                let mark = mark();
                let before = user.marks.put(mark);
                before.and_then(|mark| self.marks.remove(&mark));
                self.marks.insert(mark, nr);
                tell.push(Told { nr: mark.1, ..user.tell(nr, here) });
            } else if user.told.is_none_or(|told| told != (here, user.message_ts)) {
                tell.push(user.tell(nr, here));
            }
        }
        tell
    }

    /// Everybody who is here, to be told again.
    pub fn tell_again(&mut self, now: i64) -> Vec<Told> {
        let here = self.users.iter_mut().filter_map(|(nr, user)| {
            let state = user.here(now);
            (state != State::Offline).then(|| user.tell(*nr, state))
        });
        here.collect()
    }

    /// What is true at this moment.
    pub fn of(&self, user: UserNr, now: i64) -> Option<Status> {
        self.users.get(&user).map(|user| user.now(now))
    }

    /// Who was published after `stamp`, with which stamp, oldest first.
    pub fn published_after(&self, stamp: u64) -> Vec<(u64, UserNr)> {
        self.stamps.range(stamp + 1..).map(|(stamp, user)| (*stamp, *user)).collect()
    }

    /// Forgets the marks of a process that has ended.
    pub fn forget(&mut self, node: i64) {
        for (_, nr) in self.marks.extract_if((node, 0)..=(node, u64::MAX), |_, _| true) {
            if let Some(user) = self.users.get_mut(&nr) {
                user.marks.forget(node);
            }
        }
    }

    /// Of whom there was a publication beyond `positions`.
    pub fn published_beyond(&self, positions: &Positions) -> Vec<UserNr> {
        let Some((&(mut node, _), _)) = self.marks.first_key_value() else { return Vec::new() };
        let mut users = Vec::new();
        loop {
            users.extend(self.marks.range((node, positions.of(node) + 1)..=(node, u64::MAX)).map(|(_, user)| *user));
            // The next process.
            let Some((mark, _)) = self.marks.range((node + 1, 0)..).next() else { return users };
            node = mark.0;
        }
    }

    /// Everybody of whom anything was published.
    pub fn known(&self) -> Vec<UserNr> {
        self.stamps.values().copied().collect()
    }

    /// Everybody who is not offline, as published.
    pub fn present(&self) -> Vec<UserNr> {
        let present = |user: &&UserNr| self.users.get(user).is_some_and(|it| it.published.state != State::Offline);
        self.stamps.values().filter(present).copied().collect()
    }

    /// What was published of these users; nothing for those of whom nothing ever was.
    pub fn published(&self, users: &[UserNr]) -> Vec<(UserNr, Status)> {
        let of = |nr: &UserNr| {
            let user = self.users.get(nr).filter(|user| user.stamp > 0)?;
            Some((*nr, Status { active_ts: user.active_ts, ..user.published.clone() }))
        };
        users.iter().filter_map(of).collect()
    }

    fn check(&mut self, user: UserNr, now: i64) -> bool {
        let changed = self.users.get(&user).is_some_and(|it| !it.is_published(now));
        if changed {
            self.dirty.insert(user);
        }
        changed
    }
}

impl User {
    /// Publishes what is true, if that is another than what is published, or `anew`.
    fn publish(
        &mut self,
        nr: UserNr,
        now: i64,
        stamps: &mut BTreeMap<u64, UserNr>,
        next: impl Fn() -> u64,
        anew: bool,
    ) -> bool {
        let status = self.now(now);
        let changes = (status.state, &status.message) != (self.published.state, &self.published.message);
        if changes || anew {
            stamps.remove(&self.stamp);
            self.stamp = next();
            stamps.insert(self.stamp, nr);
            self.published = status;
        }
        changes
    }

    fn tell(&mut self, user: UserNr, state: State) -> Told {
        self.told = Some((state, self.message_ts));
        Told {
            user,
            state,
            active_ts: self.active_ts,
            message: self.message.clone(),
            message_ts: self.message_ts,
            nr: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::storage::Sym;

    const ALICE: UserNr = Sym(1);
    const PHONE: DeviceNr = DeviceNr(1);
    const LAPTOP: DeviceNr = DeviceNr(2);
    const START: i64 = 1_000_000;

    fn state(statuses: &Statuses, now: i64) -> State {
        statuses.of(ALICE, now).unwrap_or_default().state
    }

    #[test]
    fn who_polls_is_online_then_unavailable_and_gone_a_while_after_the_last_poll() {
        let mut statuses = Statuses::default();
        assert!(statuses.poll(ALICE, PHONE, State::Online, START));
        assert_eq!(state(&statuses, START), State::Online);
        assert_eq!(state(&statuses, START + IDLE_AFTER), State::Unavailable);
        statuses.active(ALICE, PHONE, START + IDLE_AFTER);
        assert_eq!(state(&statuses, START + IDLE_AFTER), State::Online);
        statuses.end_poll(ALICE, PHONE, START + IDLE_AFTER);
        assert_eq!(state(&statuses, START + IDLE_AFTER + GONE_AFTER - 1), State::Online);
        assert_eq!(state(&statuses, START + IDLE_AFTER + GONE_AFTER), State::Offline);
    }

    #[test]
    fn the_busiest_device_counts() {
        let mut statuses = Statuses::default();
        statuses.poll(ALICE, PHONE, State::Unavailable, START);
        statuses.poll(ALICE, LAPTOP, State::Online, START);
        assert_eq!(state(&statuses, START), State::Online);
        statuses.end_poll(ALICE, LAPTOP, START);
        assert_eq!(state(&statuses, START + GONE_AFTER), State::Unavailable);
    }

    /// Publishes at a node whose marks don't matter.
    fn publish(statuses: &mut Statuses, now: i64, next: impl Fn() -> u64) -> Vec<Told> {
        statuses.publish(now, next, || (9, 1))
    }

    #[test]
    fn only_what_changed_is_published_and_told() {
        let (mut statuses, stamp) = (Statuses::default(), Cell::new(0));
        let next = || {
            stamp.set(stamp.get() + 1);
            stamp.get()
        };
        statuses.set(ALICE, PHONE, State::Online, Some("here".into()), START);
        assert_eq!(publish(&mut statuses, START, next).len(), 1);
        assert_eq!((statuses.published_after(0), statuses.present()), (vec![(1, ALICE)], vec![ALICE]));
        // Goes on polling: nothing new.
        assert!(!statuses.poll(ALICE, PHONE, State::Online, START + 1));
        assert!(publish(&mut statuses, START + 1, next).is_empty() && statuses.published_after(1).is_empty());
        // Gone and back between two steps: nobody hears.
        statuses.set(ALICE, PHONE, State::Offline, Some("here".into()), START + 2);
        statuses.set(ALICE, PHONE, State::Online, Some("here".into()), START + 3);
        assert!(publish(&mut statuses, START + 3, next).is_empty());
        statuses.end_poll(ALICE, PHONE, START + 3);
        assert!(statuses.expire(START + 3 + GONE_AFTER));
        assert_eq!(publish(&mut statuses, START + 3 + GONE_AFTER, next)[0].state, State::Offline);
        assert_eq!((statuses.published_after(1), statuses.present()), (vec![(2, ALICE)], vec![]));
    }

    #[test]
    fn what_another_node_tells_counts_until_it_is_silent() {
        let mut here = Statuses::default();
        let told = Told { user: ALICE, state: State::Online, active_ts: START, message: None, message_ts: 0, nr: 0 };
        // Of whom nothing was known, what others know is published at once.
        assert!(!here.hear(7, &told, START, || 1));
        assert_eq!((state(&here, START), here.present()), (State::Online, vec![ALICE]));
        assert!(publish(&mut here, START, || 1).is_empty(), "what was heard is not told back");
        assert!(!here.hear(7, &told, START + 1, || 1), "the same again is no news");
        assert_eq!(state(&here, START + 1 + TOLD_HOLDS), State::Offline);
        here.poll(ALICE, PHONE, State::Unavailable, START + 2);
        assert_eq!(publish(&mut here, START + 2, || 2)[0].state, State::Unavailable);
        assert_eq!(here.published(&[ALICE])[0].1.state, State::Online);
    }
}
