//! What one call commits: the jobs that are taken together, and the batch made of them.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::{Error, Writes, Written, committer::Submitted};
use crate::storage::{
    EventNr, RoomNr,
    commit::{Batch, RoomWrite},
};

/// What somebody wants to have committed, and waits for.
pub(super) struct Job {
    pub work: Work,
    pub asked: Instant,
}

pub(super) enum Work {
    Room { write: RoomWrite, answer: oneshot::Sender<Result<Submitted, Error>> },
    Writes { writes: Writes, answer: oneshot::Sender<Result<Written, Error>> },
}

/// Jobs that one call commits.
#[derive(Default)]
pub(super) struct Group {
    pub jobs: Vec<Job>,
}

/// A job that is older when its turn comes is not committed any more: nobody waits for it.
const PATIENCE: Duration = Duration::from_secs(8);
/// So much goes into one call; nothing that is submitted is larger by itself.
pub const MAX_EVENTS: usize = 1000;
pub const MAX_BYTES: usize = 8 << 20;

impl Job {
    /// Answers that it is not stored, or not known to be.
    pub fn fail(self, error: &Error) {
        // A receiver that is gone has stopped caring.
        match self.work {
            Work::Room { answer, .. } => drop(answer.send(Err(error.clone()))),
            Work::Writes { answer, .. } => drop(answer.send(Err(error.clone()))),
        }
    }

    fn turn_back(self) {
        match self.work {
            Work::Room { answer, .. } => drop(answer.send(Ok(Submitted::Stale))),
            Work::Writes { answer, .. } => drop(answer.send(Err(Error::Unavailable))),
        }
    }
}

impl Group {
    /// Takes what one call can commit. Of one room only a chain, each write built on the one before; the rest of the room
    /// waits for the next call, in its order.
    pub fn take(waiting: &mut VecDeque<Job>) -> Self {
        let mut group = Self::default();
        let mut left = VecDeque::new();
        let mut tails: HashMap<RoomNr, Option<EventNr>> = HashMap::new();
        let (mut events, mut bytes) = (0, 0);
        while let Some(job) = waiting.pop_front() {
            if events >= MAX_EVENTS || bytes >= MAX_BYTES {
                left.push_back(job);
                break;
            }
            match &job.work {
                Work::Room { write, .. } => {
                    let tail = write.events.last().map(|e| e.nr);
                    match tails.get(&write.room) {
                        None => {}
                        Some(Some(before)) if *before == write.built_on && write.new.is_none() => {}
                        Some(_) => {
                            tails.insert(write.room, None);
                            left.push_back(job);
                            continue;
                        }
                    }
                    tails.insert(write.room, tail);
                    events += write.events.len();
                    bytes += write.events.iter().map(|e| e.json.len()).sum::<usize>();
                }
                Work::Writes { writes, .. } => {
                    let queued = writes.to_device.iter().flat_map(|w| &w.messages);
                    events += 1 + queued.clone().count() / 4 + writes.users.len();
                    bytes += queued.map(|m| m.2.len()).sum::<usize>();
                    bytes += writes.users.iter().map(|write| write.change.size()).sum::<usize>();
                }
            }
            group.jobs.push(job);
        }
        left.append(waiting);
        *waiting = left;
        group
    }

    /// The batch, and for each room job the index of its room in it.
    pub fn batch(&self) -> (Batch, Vec<Option<usize>>) {
        let mut batch = Batch::default();
        let mut at: HashMap<RoomNr, usize> = HashMap::new();
        let mut places = Vec::with_capacity(self.jobs.len());
        for job in &self.jobs {
            match &job.work {
                Work::Room { write, .. } => {
                    let place = *at.entry(write.room).or_insert_with(|| {
                        batch.rooms.push(RoomWrite { events: Vec::new(), ..write.clone() });
                        batch.rooms.len() - 1
                    });
                    batch.rooms[place].events.extend(write.events.iter().cloned());
                    batch.rooms[place].hold |= write.hold;
                    places.push(Some(place));
                }
                Work::Writes { writes, .. } => {
                    batch.receipts.extend(writes.receipts.iter().cloned());
                    batch.account_data.extend(writes.account_data.iter().cloned());
                    batch.to_device.extend(writes.to_device.iter().cloned());
                    batch.device_changes.extend(&writes.device_changes);
                    batch.wake_rooms.extend(&writes.wake_rooms);
                    batch.wake_users.extend(&writes.wake_users);
                    batch.notices.extend(writes.notices.iter().map(|n| n.to_text()));
                    batch.users.extend(writes.users.iter().cloned());
                    places.push(None);
                }
            }
        }
        (batch, places)
    }

    /// Answers that nothing of it is stored.
    pub fn fail(self, error: &Error, refused: &mut Refused) {
        for job in self.jobs {
            refused.add(&job);
            job.fail(error);
        }
    }

    /// Has the events built anew, as if the room had changed under them.
    pub fn turn_back(self, refused: &mut Refused) {
        for job in self.jobs {
            refused.add(&job);
            job.turn_back();
        }
    }

    /// Two halves, in order.
    pub fn halve(self) -> (Self, Self) {
        let mut first = self.jobs;
        let second = first.split_off(first.len() / 2);
        (Self { jobs: first }, Self { jobs: second })
    }
}

/// The tails of writes that were not stored. What is built on one must not be stored either, though its own room may have
/// a place for it: its parent would be missing.
#[derive(Default)]
pub(super) struct Refused {
    tails: HashSet<EventNr>,
    order: VecDeque<EventNr>,
}

/// How many are remembered: a room's head is read anew soon after a refusal.
const REFUSED: usize = 50_000;

impl Refused {
    /// Of a job of which nothing is stored, and never will be: what is not known must not come here, because a head that is
    /// read anew may stand on it.
    pub fn add(&mut self, job: &Job) {
        let Work::Room { write, .. } = &job.work else { return };
        let Some(tail) = write.events.last().map(|e| e.nr) else { return };
        if self.tails.insert(tail) {
            self.order.push_back(tail);
        }
        if self.order.len() > REFUSED
            && let Some(oldest) = self.order.pop_front()
        {
            self.tails.remove(&oldest);
        }
    }

    /// Answers what came too late, and what is built on refused events.
    pub fn turn_away(&mut self, group: Group) -> Group {
        let mut left = Vec::with_capacity(group.jobs.len());
        for job in group.jobs {
            if job.asked.elapsed() > PATIENCE {
                self.add(&job);
                job.fail(&Error::Unavailable);
            } else if matches!(&job.work, Work::Room { write, .. } if self.tails.contains(&write.built_on)) {
                self.add(&job);
                job.turn_back();
            } else {
                left.push(job);
            }
        }
        Group { jobs: left }
    }
}
