//! What clients know of rooms, for each connection: in memory, and written behind to the database for other nodes.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use moka::sync::Cache;
use serde::{Deserialize, Serialize};
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    super::{Sync, Token},
    RoomConfig,
};
use crate::{
    clock::now_ms,
    random,
    storage::{self, DeviceNr, Pos, Result, RoomNr, sliding::Kept},
};

/// What all connections in memory may hold, in bytes, roughly.
const CAPACITY: u64 = 64 << 20;
/// States of one connection: the newest, and those that a client may still name whose answer got lost.
const STATES: usize = 4;
/// States that wait to be written. What finds no room is not written: its client begins anew if it moves to another node.
const QUEUE: usize = 10_000;
/// States written at once.
const BATCH: usize = 100;
/// How often old connections are dropped, how old those are, and how many each device keeps.
const SWEEP_EVERY: Duration = Duration::from_secs(3600);
const OLD_MS: i64 = 14 * 24 * 3600 * 1000;
const MOST: i64 = 32;
/// How long to wait for another node to write what it has answered, before a position counts as unknown.
const BEHIND: [Duration; 2] = [Duration::from_millis(20), Duration::from_millis(80)];

/// A device, and its name for the connection.
pub(super) type Name = (DeviceNr, Option<Arc<str>>);

/// All connections that this node serves.
pub(in super::super) struct Connections {
    cache: Cache<Name, Arc<Mutex<Connection>>>,
    queue: mpsc::Sender<Queued>,
    /// Taken by the task that writes.
    queued: Mutex<Option<mpsc::Receiver<Queued>>>,
}

/// One connection.
#[derive(Default)]
struct Connection {
    /// What the client knows, by number, the oldest first.
    states: VecDeque<(i64, Arc<Sent>)>,
    /// The newest answer.
    answered: Option<Answered>,
}

/// An answer, with which the client was told all that there was for what it asked.
#[derive(Clone)]
pub(super) struct Answered {
    /// Stands for the request, apart from what differs each time.
    pub asked: u64,
    /// The position that it gave.
    pub next: Token,
    /// How many rooms each list holds.
    pub counts: Arc<Counts>,
}

/// How many rooms each list holds.
pub(super) type Counts = BTreeMap<String, usize>;

/// A state on its way to the database, and the one from which it was made.
struct Queued {
    name: Name,
    nr: i64,
    sent: Arc<Sent>,
    before: Option<(i64, Arc<Sent>)>,
}

/// What a client knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Sent {
    pub rooms: BTreeMap<RoomNr, SentRoom>,
}

/// What a client knows of a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SentRoom {
    /// It knows all up to here; `None`: up to its `pos`.
    pub until: Option<Pos>,
    pub config: Arc<RoomConfig>,
}

/// [`Sent`] as the database keeps it: each config once.
#[derive(Serialize, Deserialize)]
struct Text {
    configs: Vec<RoomConfig>,
    /// Room, config, and up to where.
    rooms: Vec<(RoomNr, usize, Option<Pos>)>,
}

impl Connections {
    pub fn new() -> Self {
        let (queue, queued) = mpsc::channel(QUEUE);
        let weigh = |_: &Name, connection: &Arc<Mutex<Connection>>| lock(connection).weight();
        let idle = Duration::from_secs(2 * 3600);
        let cache = Cache::builder().max_capacity(CAPACITY).weigher(weigh).time_to_idle(idle).build();
        Self { cache, queue, queued: Mutex::new(Some(queued)) }
    }

    fn find(&self, name: &Name, nr: i64) -> Option<Arc<Sent>> {
        let connection = self.cache.get(name)?;
        let mut connection = lock(&connection);
        let at = connection.states.iter().position(|(known, _)| *known == nr)?;
        // Whoever names a state has received it: those before it are never named again.
        connection.states.drain(..at);
        connection.states.front().map(|(_, sent)| Arc::clone(sent))
    }

    fn push(&self, name: &Name, nr: i64, sent: &Arc<Sent>) {
        let connection = self.cache.get_with(name.clone(), Arc::default);
        {
            let states = &mut lock(&connection).states;
            states.push_back((nr, Arc::clone(sent)));
            if states.len() > STATES {
                // The oldest is the one that the client named last, and may name again.
                states.remove(1);
            }
        }
        // Weighed anew.
        self.cache.insert(name.clone(), connection);
    }

    /// The newest answer, if it gave the position `from`, for the same request.
    pub(super) fn answered(&self, name: &Name, asked: u64, from: &Token) -> Option<Arc<Counts>> {
        let connection = self.cache.get(name)?;
        let connection = lock(&connection);
        let answered = connection.answered.as_ref()?;
        (answered.asked == asked && answered.next == *from).then(|| Arc::clone(&answered.counts))
    }

    /// Notes the newest answer.
    pub(super) fn note(&self, name: &Name, answered: Answered) {
        if let Some(connection) = self.cache.get(name) {
            lock(&connection).answered = Some(answered);
        }
    }
}

impl Connection {
    fn weight(&self) -> u32 {
        let states = self.states.iter().map(|(_, sent)| 64 + sent.rooms.len() * 64);
        // One config a state as a rule; they are bounded where requests are read.
        u32::try_from(512 + states.sum::<usize>()).unwrap_or(u32::MAX)
    }
}

fn lock(connection: &Mutex<Connection>) -> MutexGuard<'_, Connection> {
    connection.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sync {
    /// What the client knew under the number `nr`; `None` where neither memory nor the database knows it any more.
    ///
    /// # Errors
    /// The database's own.
    pub(super) async fn sent(&self, name: &Name, nr: i64) -> Result<Option<Arc<Sent>>> {
        let connections = &self.0.connections;
        if let Some(sent) = connections.find(name, nr) {
            return Ok(Some(sent));
        }
        let stored = stored_name(name);
        let mut kept = storage::sliding::get(&self.0.pool, name.0, &stored, nr).await?;
        if self.0.log.is_shared() {
            for pause in BEHIND {
                if kept.is_none() {
                    tokio::time::sleep(pause).await;
                    kept = storage::sliding::get(&self.0.pool, name.0, &stored, nr).await?;
                }
            }
        }
        let sent = kept.as_deref().and_then(Sent::parse).map(Arc::new);
        if let Some(sent) = &sent {
            connections.push(name, nr, sent);
        }
        Ok(sent)
    }

    /// Keeps what the client knows after an answer, which was made from `before`, and returns the number by which it will
    /// name that.
    pub(super) fn keep_sent(&self, name: &Name, sent: &Arc<Sent>, before: Option<(i64, Arc<Sent>)>) -> i64 {
        // 52 bits drawn at random: nothing that was named before a connection began anew fits by accident.
        let nr = i64::from_le_bytes(random::bytes()) & ((1 << 52) - 1);
        let connections = &self.0.connections;
        connections.push(name, nr, sent);
        let queued = Queued { name: name.clone(), nr, sent: Arc::clone(sent), before };
        if connections.queue.try_send(queued).is_err() {
            tracing::debug!("a sliding-sync connection is not kept: too many wait to be written");
        }
        nr
    }

    /// Writes what connections know, until `shutdown`, and what waits by then.
    pub async fn keep_connections(self, shutdown: CancellationToken) {
        let queued = self.0.connections.queued.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut queued) = queued else { return };
        let mut swept = Instant::now();
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let ending = tokio::select! {
                _ = queued.recv_many(&mut batch, BATCH) => false,
                () = shutdown.cancelled() => true,
            };
            while ending && let Ok(next) = queued.try_recv() {
                batch.push(next);
            }
            self.write_connections(std::mem::take(&mut batch)).await;
            if ending {
                return;
            }
            if swept.elapsed() > SWEEP_EVERY {
                swept = Instant::now();
                if let Err(error) = storage::sliding::sweep(&self.0.pool, now_ms() - OLD_MS, MOST).await {
                    tracing::warn!(%error, "can't drop old sliding-sync connections");
                }
            }
        }
    }

    async fn write_connections(&self, batch: Vec<Queued>) {
        // The newest of each connection.
        let newest: HashMap<Name, Queued> = batch.into_iter().map(|queued| (queued.name.clone(), queued)).collect();
        let newest: Vec<Queued> = newest.into_values().collect();
        for queued in newest.chunks(BATCH) {
            let kept: Vec<Kept> = queued.iter().map(Queued::to_kept).collect();
            if let Err(error) = storage::sliding::put(&self.0.pool, &kept, now_ms()).await {
                tracing::warn!(%error, "can't keep sliding-sync connections");
            }
        }
    }
}

impl Queued {
    fn to_kept(&self) -> Kept {
        Kept {
            device: self.name.0,
            connection: stored_name(&self.name),
            nr: self.nr,
            state: self.sent.to_text(),
            before: self.before.as_ref().map(|(nr, sent)| (*nr, sent.to_text())),
        }
    }
}

fn stored_name((_, connection): &Name) -> String {
    connection.as_ref().map_or_else(String::new, |name| format!("c{name}"))
}

impl Sent {
    fn to_text(&self) -> String {
        let mut numbers: BTreeMap<&RoomConfig, usize> = BTreeMap::new();
        let mut configs = Vec::new();
        let mut rooms = Vec::with_capacity(self.rooms.len());
        for (room, sent) in &self.rooms {
            let at = *numbers.entry(&sent.config).or_insert_with(|| {
                configs.push((*sent.config).clone());
                configs.len() - 1
            });
            rooms.push((*room, at, sent.until));
        }
        serde_json::to_string(&Text { configs, rooms }).unwrap_or_default()
    }

    fn parse(text: &str) -> Option<Self> {
        let text: Text = serde_json::from_str(text).ok()?;
        let configs: Vec<Arc<RoomConfig>> = text.configs.into_iter().map(Arc::new).collect();
        let room = |(room, at, until): (RoomNr, usize, Option<Pos>)| {
            Some((room, SentRoom { until, config: Arc::clone(configs.get(at)?) }))
        };
        Some(Self { rooms: text.rooms.into_iter().map(room).collect::<Option<_>>()? })
    }
}

#[cfg(test)]
mod tests {
    use super::{super::RequiredState, *};

    fn sent(rooms: &[(i64, usize, Option<i64>)]) -> Sent {
        let room = |(room, limit, until): &(i64, usize, Option<i64>)| {
            let config = RoomConfig { timeline_limit: *limit, required_state: RequiredState::default() };
            (RoomNr(*room), SentRoom { until: until.map(Pos), config: Arc::new(config) })
        };
        Sent { rooms: rooms.iter().map(room).collect() }
    }

    #[test]
    fn what_is_kept_is_read() {
        let sent = sent(&[(1, 20, None), (2, 1, Some(7)), (3, 20, None)]);
        assert_eq!(Sent::parse(&sent.to_text()), Some(sent));
        assert_eq!(Sent::parse(r#"{"configs":[],"rooms":[[1,0,null]]}"#), None);
        assert_eq!(Sent::parse(""), None);
    }

    #[test]
    fn a_state_is_found_until_a_later_one_is_named() {
        let connections = Connections::new();
        let name = (DeviceNr(1), None);
        for nr in 1..=3 {
            connections.push(&name, nr, &Arc::new(sent(&[(nr, 1, None)])));
        }
        assert_eq!(connections.find(&name, 2), Some(Arc::new(sent(&[(2, 1, None)]))));
        assert_eq!(connections.find(&name, 1), None);
        for nr in 4..=9 {
            connections.push(&name, nr, &Arc::new(sent(&[])));
        }
        assert!(connections.find(&name, 2).is_some(), "asked again and again, each time with another answer");
        assert!(connections.find(&name, 9).is_some());
        assert_eq!(connections.find(&(DeviceNr(1), Some("x".into())), 9), None);
    }
}
