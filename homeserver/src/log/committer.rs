//! The group commit: one task, one connection, one call in flight.

use std::{
    collections::{HashSet, VecDeque},
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use sqlx::{ConnectOptions, PgConnection, postgres::PgConnectOptions};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::{Beside, Error, Log, LogEvent, LogReceipt, Notice, Slice, Writes, Written};
use crate::{
    bell::Topic,
    clock::now_ms,
    metrics,
    storage::{
        self, EventNr, Pos, RoomNr,
        commit::{self, Answer, Batch, ORD_STEP, Outcome, RoomWrite, TxnKey},
    },
};

/// What became of submitted events.
#[derive(Debug, Clone)]
pub enum Submitted {
    /// On disk. `beside`: beside another tail, so that the head must be re-read before anything is built on it.
    Stored { pos: Pos, beside: bool },
    /// Another writer was first: nothing is stored; re-read the room and rebuild.
    Stale,
    /// The room is held for a writer on another node: nothing is stored; the same in a moment.
    Held,
    /// The transaction created this event earlier; nothing else is stored.
    Known(Arc<str>),
}

pub(super) enum Job {
    Room { write: RoomWrite, answer: oneshot::Sender<Result<Submitted, Error>> },
    Writes { writes: Writes, answer: oneshot::Sender<Result<Written, Error>> },
}

/// How long a batch is tried on a database that does not answer.
const PATIENCE: Duration = Duration::from_secs(8);
/// The same while the node goes down.
const LAST_PATIENCE: Duration = Duration::from_secs(3);
/// A call that takes longer counts as a lost connection.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Account data that decides about notifications.
const DECIDING: [&str; 2] = ["m.push_rules", "m.ignored_user_list"];
/// So much goes into one call; nothing that is submitted is larger by itself.
pub const MAX_EVENTS: usize = 1000;
pub const MAX_BYTES: usize = 8 << 20;

/// Jobs that one call commits, with the batch made of them.
#[derive(Default)]
struct Group {
    jobs: Vec<Job>,
}

/// Commits until `shutdown`, and then what is still queued.
pub(super) async fn run(
    log: Log,
    connect: PgConnectOptions,
    mut queue: mpsc::UnboundedReceiver<Job>,
    shutdown: CancellationToken,
) {
    let mut committer = Committer { log, refused: Refused::default(), connect, conn: None, number: 0, shutdown };
    let mut waiting: VecDeque<Job> = VecDeque::new();
    loop {
        if waiting.is_empty() {
            let job = tokio::select! {
                biased;
                job = queue.recv() => job,
                () = committer.shutdown.cancelled() => {
                    queue.close();
                    queue.recv().await
                }
            };
            let Some(job) = job else { return };
            waiting.push_back(job);
        }
        while let Ok(job) = queue.try_recv() {
            waiting.push_back(job);
        }
        let group = Group::take(&mut waiting);
        committer.log.0.queued.fetch_sub(group.jobs.len(), Ordering::Relaxed);
        let (items, begun) = (group.jobs.len(), Instant::now());
        committer.commit(group).await;
        metrics::COMMITS.add(1);
        metrics::COMMIT_ITEMS.observe(u64::try_from(items).unwrap_or(u64::MAX));
        metrics::COMMIT_SECONDS.observe_time(begun.elapsed());
    }
}

impl Group {
    /// Takes what one call can commit. Of one room only a chain, each write built on the one before; the rest of the room
    /// waits for the next call, in its order.
    fn take(waiting: &mut VecDeque<Job>) -> Self {
        let mut group = Self::default();
        let mut left = VecDeque::new();
        let mut tails: std::collections::HashMap<RoomNr, Option<storage::EventNr>> = std::collections::HashMap::new();
        let (mut events, mut bytes) = (0, 0);
        while let Some(job) = waiting.pop_front() {
            if events >= MAX_EVENTS || bytes >= MAX_BYTES {
                left.push_back(job);
                break;
            }
            match &job {
                Job::Room { write, .. } => {
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
                Job::Writes { writes, .. } => {
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
    fn batch(&self) -> (Batch, Vec<Option<usize>>) {
        let mut batch = Batch::default();
        let mut at: std::collections::HashMap<RoomNr, usize> = std::collections::HashMap::new();
        let mut places = Vec::with_capacity(self.jobs.len());
        for job in &self.jobs {
            match job {
                Job::Room { write, .. } => {
                    let place = *at.entry(write.room).or_insert_with(|| {
                        batch.rooms.push(RoomWrite { events: Vec::new(), ..write.clone() });
                        batch.rooms.len() - 1
                    });
                    batch.rooms[place].events.extend(write.events.iter().cloned());
                    batch.rooms[place].hold |= write.hold;
                    places.push(Some(place));
                }
                Job::Writes { writes, .. } => {
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

    /// Has the events built anew, as if the room had changed under them.
    fn turn_back(self, refused: &mut Refused) {
        for job in self.jobs {
            match job {
                Job::Room { write, answer } => {
                    refused.add(&write);
                    drop(answer.send(Ok(Submitted::Stale)));
                }
                Job::Writes { answer, .. } => drop(answer.send(Err(Error::Unavailable))),
            }
        }
    }

    fn fail(self, error: &Error, refused: &mut Refused) {
        for job in self.jobs {
            // A receiver that is gone has stopped caring.
            match job {
                Job::Room { write, answer } => {
                    refused.add(&write);
                    drop(answer.send(Err(error.clone())));
                }
                Job::Writes { answer, .. } => drop(answer.send(Err(error.clone()))),
            }
        }
    }
}

/// The tails of writes that were not stored. What is built on one must not be stored either, though its own room may have
/// a place for it: its parent would be missing.
#[derive(Default)]
struct Refused {
    tails: HashSet<EventNr>,
    order: VecDeque<EventNr>,
}

/// How many are remembered: a room's head is read anew soon after a refusal.
const REFUSED: usize = 50_000;

impl Refused {
    fn add(&mut self, write: &RoomWrite) {
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

    /// Answers what is built on refused events.
    fn turn_away(&mut self, group: Group) -> Group {
        if self.tails.is_empty() {
            return group;
        }
        let mut left = Vec::with_capacity(group.jobs.len());
        for job in group.jobs {
            match job {
                Job::Room { write, answer } if self.tails.contains(&write.built_on) => {
                    self.add(&write);
                    drop(answer.send(Ok(Submitted::Stale)));
                }
                job => left.push(job),
            }
        }
        Group { jobs: left }
    }
}

struct Committer {
    log: Log,
    refused: Refused,
    connect: PgConnectOptions,
    conn: Option<PgConnection>,
    /// The number of the last batch.
    number: i64,
    shutdown: CancellationToken,
}

impl Committer {
    /// Commits `group` and answers its jobs.
    async fn commit(&mut self, group: Group) {
        let mut groups = vec![group];
        while let Some(group) = groups.pop() {
            let group = self.refused.turn_away(group);
            if group.jobs.is_empty() {
                continue;
            }
            let (batch, places) = group.batch();
            match self.call(&batch).await {
                Ok(answer) => self.deliver(group, &batch, &places, &answer).await,
                Err(storage::Error::Refused(error)) if group.jobs.len() > 1 => {
                    // Halved until the bad item stands alone. A room's chain may break in two: the second half is then
                    // judged by what became of the first.
                    tracing::warn!(%error, jobs = group.jobs.len(), "a batch was refused and is halved");
                    let mut first = group.jobs;
                    let second = first.split_off(first.len() / 2);
                    groups.push(Group { jobs: second });
                    groups.push(Group { jobs: first });
                }
                Err(storage::Error::Refused(error)) if is_twin(&error) => group.turn_back(&mut self.refused),
                Err(storage::Error::Refused(error)) => {
                    tracing::error!(%error, "the database refused a write");
                    group.fail(&Error::Refused(error.to_string().into()), &mut self.refused);
                }
                Err(error) => {
                    tracing::error!(%error, "a batch was given up");
                    group.fail(&Error::Unavailable, &mut self.refused);
                }
            }
        }
    }

    /// Calls until there is an answer; the same number each time, so that an unknown outcome becomes known.
    async fn call(&mut self, batch: &Batch) -> storage::Result<Answer> {
        self.number += 1;
        let (start, mut pause) = (Instant::now(), Duration::from_millis(20));
        loop {
            let error = match self.try_call(batch).await {
                Err(error @ (storage::Error::Unavailable(_) | storage::Error::Inconsistent(_))) => error,
                answered => return answered,
            };
            self.conn = None;
            let patience = if self.shutdown.is_cancelled() { LAST_PATIENCE } else { PATIENCE };
            if start.elapsed() > patience {
                return Err(error);
            }
            tracing::warn!(%error, "a commit got no answer and is repeated");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_secs(1));
        }
    }

    async fn try_call(&mut self, batch: &Batch) -> storage::Result<Answer> {
        let late = |_| storage::Error::Unavailable(sqlx::Error::PoolTimedOut);
        let conn = match &mut self.conn {
            Some(conn) => conn,
            None => {
                let conn =
                    tokio::time::timeout(Duration::from_secs(5), self.connect.connect()).await.map_err(late)??;
                self.conn.insert(conn)
            }
        };
        let call = commit::call(conn, self.log.0.writer, self.number, now_ms(), batch);
        tokio::time::timeout(CALL_TIMEOUT, call).await.map_err(late)?
    }

    /// Tells caches, other nodes and the jobs.
    async fn deliver(&mut self, group: Group, batch: &Batch, places: &[Option<usize>], answer: &Answer) {
        if answer.last > Pos(0) {
            let slice = slice(batch, answer, self.log.0.writer);
            let ring = self.log.0.bell.is_shared().then(|| serde_json::to_vec(&slice));
            self.log.receive(slice);
            match ring {
                Some(Ok(payload)) => self.log.0.bell.ring(Topic::Slice, payload.into()).await,
                Some(Err(error)) => tracing::error!(%error, "a slice can't be written as JSON"),
                None => {}
            }
        }
        let mut changed = answer.changed.iter().copied();
        for (job, place) in group.jobs.into_iter().zip(places) {
            match job {
                Job::Writes { writes, answer: sender } => {
                    let changed = changed.by_ref().take(writes.users.len()).collect();
                    drop(sender.send(Ok(Written { pos: answer.last, changed })));
                }
                Job::Room { write, answer: sender } => {
                    let outcome = place.and_then(|p| answer.outcomes.get(p)).copied().unwrap_or(Outcome::Stale);
                    let submitted = match outcome {
                        Outcome::Stored => Submitted::Stored { pos: answer.last, beside: answer.ord_base.is_empty() },
                        Outcome::Beside => Submitted::Stored { pos: answer.last, beside: true },
                        Outcome::Stale => Submitted::Stale,
                        Outcome::Held => Submitted::Held,
                        Outcome::Known => known(&write, answer).map_or(Submitted::Stale, Submitted::Known),
                    };
                    if !matches!(submitted, Submitted::Stored { .. }) {
                        self.refused.add(&write);
                    }
                    drop(sender.send(Ok(submitted)));
                }
            }
        }
    }
}

/// Whether an event is another's twin: of one sender, saying the same on the same place within one millisecond. Built anew
/// it stands elsewhere, or comes later.
fn is_twin(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| error.constraint() == Some("event_id_key"))
}

fn known(write: &RoomWrite, answer: &Answer) -> Option<Arc<str>> {
    let is_ours = |key: &TxnKey| write.events.iter().any(|e| e.txn.as_ref().is_some_and(|t| t.key == *key));
    answer.known.iter().find(|(key, _)| is_ours(key)).map(|(_, id)| Arc::clone(id))
}

fn slice(batch: &Batch, answer: &Answer, writer: i64) -> Slice {
    let stored = |i: usize| matches!(answer.outcomes.get(i), Some(Outcome::Stored | Outcome::Beside));
    let rooms = batch.rooms.iter().enumerate().filter(|(i, _)| stored(*i));
    let mut users: Vec<_> = batch.wake_users.clone();
    users.extend(batch.account_data.iter().map(|a| a.user));
    users.extend(batch.to_device.iter().flat_map(|w| w.messages.iter().map(|m| m.0)));
    users.extend(&batch.device_changes);
    users.extend(answer.told.users.iter().chain(&answer.told.device_changes));
    users.extend(
        rooms.clone().flat_map(|(_, r)| &r.events).filter(|e| e.membership.is_some()).filter_map(|e| e.state_key),
    );
    users.sort_unstable();
    users.dedup();
    let mut touched: Vec<RoomNr> = rooms.clone().map(|(_, r)| r.room).collect();
    touched.extend(batch.wake_rooms.iter().chain(&answer.told.rooms));
    touched.extend(batch.receipts.iter().map(|r| r.room));
    touched.sort_unstable();
    touched.dedup();
    // A resubmitted batch does not say where its events lie; readers take them from the database.
    let is_first = !answer.told.again && (!answer.ord_base.is_empty() || batch.rooms.is_empty());
    let placed = is_first.then(|| {
        let mut pos = answer.first.0;
        let mut events = Vec::new();
        for (i, room) in rooms {
            let base = answer.ord_base.get(i).copied().unwrap_or(0);
            for (ord, e) in (base..).step_by(usize::try_from(ORD_STEP).unwrap_or(1)).zip(&room.events) {
                events.push(Arc::new(LogEvent {
                    pos: Pos(pos),
                    ord,
                    room: room.room,
                    nr: e.nr,
                    id: Arc::clone(&e.id),
                    kind: e.kind,
                    sender: e.sender,
                    state_key: e.state_key,
                    ts: e.ts,
                    frame: e.frame,
                    replaces: e.replaces,
                    membership: e.membership,
                    json: Arc::clone(&e.json),
                    txn: e.txn.as_ref().map(|t| (t.key.device, Arc::clone(&t.id))),
                    redacts: e.redacts.as_ref().map(|r| r.target),
                    noted: e.noted.clone(),
                    flags: e.flags,
                }));
                pos += 1;
            }
        }
        (events, beside(batch, answer, pos))
    });
    let (events, beside) = placed.unzip();
    Slice {
        generation: answer.generation,
        first: answer.first,
        last: answer.last,
        writer,
        rooms: touched,
        users,
        notices: batch.notices.iter().chain(&answer.told.notices).filter_map(|text| Notice::parse(text)).collect(),
        events,
        beside,
    }
}

/// What `batch` holds besides events. Receipts lie behind the events, from `first` on, in the batch's order.
fn beside(batch: &Batch, answer: &Answer, first: i64) -> Beside {
    let receipts = (first..).zip(&batch.receipts).map(|(pos, r)| LogReceipt {
        pos: Pos(pos),
        room: r.room,
        user: r.user,
        private: r.private,
        thread: Arc::clone(&r.thread),
        event_id: Arc::clone(&r.event_id),
        event_pos: r.event_pos,
        ts: r.ts,
    });
    let push_rules = batch.account_data.iter().filter(|a| DECIDING.contains(&&*a.kind) && a.room == RoomNr(0));
    Beside {
        receipts: receipts.collect(),
        account_data: batch.account_data.iter().map(|a| a.user).collect(),
        push_rules: Some(push_rules.map(|a| a.user).collect()),
        to_device: batch.to_device.iter().flat_map(|w| w.messages.iter().map(|m| m.1)).collect(),
        device_changes: batch.device_changes.iter().chain(&answer.told.device_changes).copied().collect(),
    }
}
