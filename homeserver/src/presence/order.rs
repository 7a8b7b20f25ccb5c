//! Which changes come after which: on this node, and over all nodes.
//!
//! A change that a sync may tell of has a *stamp*, the next number of the node that tells of it, and a *mark*: the process
//! that published it, with that process's own next number. Stamps say what is new to a client that was here last; marks say
//! it of one that comes from another node, because a change bears the same mark everywhere.
//!
//! A process publishes what changes in its own view, unless another one's publication made it change. Whoever hears of a
//! publication tells its clients of what it is about, whether or not that changes anything here: they may come from a node
//! that saw it differently. So a client that knows all publications knows what is.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::mpsc;

use super::Ring;
use crate::random;

/// Processes of which something is known; the longest silent is forgotten first.
const PROCESSES: usize = 32;
/// A process that was silent for so long has ended: who is online is told again ten times as often.
const ENDED: Duration = Duration::from_secs(300);
/// A process of the version before, whose clients can't bring marks, counts for so long.
const ELDER: Duration = Duration::from_secs(120);
/// Rings that wait to be rung. What finds no room is lost, as a ring may be.
const QUEUE: usize = 4096;

/// The node's counter of what does not last. Cheap to clone.
///
/// A stamp is taken under the lock of what changes. So whoever reads [`Stamps::newest`] first and then looks, under the
/// same locks, sees all up to it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stamps(Arc<AtomicU64>);

impl Stamps {
    pub fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::SeqCst) + 1
    }

    pub fn newest(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// A publication: the process, and its number there.
pub(super) type Mark = (i64, u64);

/// The newest marks of one thing, one of each process.
#[derive(Debug, Default)]
pub(super) struct Marks(Vec<Mark>);

impl Marks {
    /// Returns the mark in whose place the new one stands.
    pub fn put(&mut self, (node, nr): Mark) -> Option<Mark> {
        match self.0.iter_mut().find(|(known, _)| *known == node) {
            Some(mark) => Some(std::mem::replace(mark, (node, nr.max(mark.1)))),
            None => {
                self.0.push((node, nr));
                None
            }
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = Mark> {
        self.0.iter().copied()
    }

    pub fn forget(&mut self, node: i64) {
        self.0.retain(|(known, _)| *known != node);
    }

    pub fn are_beyond(&self, positions: &Positions) -> bool {
        self.iter().any(|(node, nr)| nr > positions.of(node))
    }
}

/// Up to which of its numbers each process's publications are known. Cheap to clone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Positions(Option<Arc<[Mark]>>);

impl Positions {
    /// Processes in one, at most.
    pub const MOST: usize = PROCESSES;

    /// 0 where nothing is known.
    pub(super) fn of(&self, node: i64) -> u64 {
        self.iter().find(|(known, _)| *known == node).map_or(0, |(_, nr)| nr)
    }

    /// Process and number, sorted.
    pub fn iter(&self) -> impl Iterator<Item = (i64, u64)> {
        self.0.iter().flat_map(|marks| marks.iter().copied())
    }

    fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

impl FromIterator<(i64, u64)> for Positions {
    /// No more than nodes remember.
    fn from_iter<I: IntoIterator<Item = (i64, u64)>>(marks: I) -> Self {
        let marks: BTreeSet<Mark> = marks.into_iter().take(Self::MOST).collect();
        Self((!marks.is_empty()).then(|| marks.into_iter().collect()))
    }
}

/// What a client knows of what does not last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Since {
    /// Nothing, or this node can't tell what.
    Nothing,
    /// All that this node knows.
    All,
    /// All up to this stamp of this node.
    Stamp(u64),
    /// All publications up to these.
    Positions(Positions),
}

/// The order as one process knows it.
pub(super) struct Order {
    /// Names this process: stamps mean something only together with it.
    pub node: i64,
    pub stamps: Stamps,
    is_shared: bool,
    /// Rings on their way; `None` for a single node.
    queue: Mutex<Option<mpsc::Sender<Ring>>>,
    /// Its own publications so far; raised under the lock of what changes, as stamps are.
    published: AtomicU64,
    heard: RwLock<Heard>,
}

#[derive(Default)]
struct Heard {
    processes: BTreeMap<i64, Process>,
    /// When a process of the version before was heard last.
    elder: Option<Instant>,
}

/// Another process.
struct Process {
    /// All its publications from here on were heard…
    first: u64,
    /// …up to here.
    last: u64,
    at: Instant,
}

impl Order {
    /// And the rings to be rung, where there are other nodes.
    pub fn new(is_shared: bool) -> (Self, Option<mpsc::Receiver<Ring>>) {
        // 52 bits: a number that every JSON reader keeps exactly.
        let node = i64::from_le_bytes(random::bytes()) & ((1 << 52) - 1);
        let (queue, rings) = if is_shared { Some(mpsc::channel(QUEUE)).unzip() } else { (None, None) };
        let order = Self {
            node,
            stamps: Stamps::default(),
            is_shared,
            queue: Mutex::new(queue),
            published: AtomicU64::new(0),
            heard: RwLock::default(),
        };
        (order, rings)
    }

    /// Publishes and rings: what is rung goes out in the order of its numbers. `write` takes them, under the lock of what
    /// changes, and says what to ring.
    pub fn ring(&self, write: impl FnOnce(&mut dyn FnMut() -> Mark) -> Vec<Ring>) {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let mut last = self.last();
        let rings = write(&mut || (self.node, self.published.fetch_add(1, Ordering::SeqCst) + 1));
        let Some(queue) = &*queue else { return };
        for mut ring in rings {
            let numbers = ring.typing.iter().map(|told| told.nr).chain(ring.statuses.iter().map(|told| told.nr));
            let numbers: BTreeSet<u64> = numbers.filter(|nr| *nr > 0).collect();
            last = numbers.last().copied().unwrap_or(last);
            (ring.node, ring.first, ring.last) = (self.node, numbers.first().copied(), Some(last));
            if queue.try_send(ring).is_err() {
                tracing::debug!("who types or is online is not told to the other nodes: too much waits to be told");
            }
        }
    }

    /// The number of this process's last publication.
    pub fn last(&self) -> u64 {
        self.published.load(Ordering::SeqCst)
    }

    /// Notes that another process's ring was taken in. Returns those that have ended: clients say no more what they know of them.
    pub fn heard(&self, ring: &Ring, now: Instant) -> Vec<i64> {
        let mut heard = self.heard.write().unwrap_or_else(PoisonError::into_inner);
        let (node, Some(last)) = (ring.node, ring.last) else {
            heard.elder = Some(now);
            return Vec::new();
        };
        let first = ring.first.unwrap_or(last + 1);
        let known = heard.processes.entry(node).or_insert(Process { first, last, at: now });
        if first > known.last + 1 {
            // Rings between were lost.
            known.first = first;
        }
        (known.last, known.at) = (known.last.max(last), now);
        let mut ended: Vec<i64> = Vec::new();
        ended.extend(
            heard.processes.extract_if(.., |_, it| now.saturating_duration_since(it.at) >= ENDED).map(|it| it.0),
        );
        if heard.processes.len() >= PROCESSES
            && let Some(silent) = heard.processes.iter().min_by_key(|(_, process)| process.at).map(|(node, _)| *node)
        {
            heard.processes.remove(&silent);
            ended.push(silent);
        }
        ended
    }

    /// All that this process knows, to be read before it is looked.
    pub fn positions(&self, now: Instant) -> Positions {
        let heard = self.heard.read().unwrap_or_else(PoisonError::into_inner);
        let mixed = heard.elder.is_some_and(|at| now.saturating_duration_since(at) < ELDER);
        // A node of the version before can't read them.
        if mixed || !self.is_shared {
            return Positions::default();
        }
        let others = heard.processes.iter().map(|(node, process)| (*node, process.last));
        others.chain([(self.node, self.last())]).collect()
    }

    /// What a client knows that was at `node` last, and was told of all up to its `stamp` and all publications up to
    /// `positions`.
    pub fn since(&self, node: i64, stamp: u64, positions: &Positions) -> Since {
        if node == self.node {
            return Since::Stamp(stamp);
        }
        if positions.is_empty() {
            return Since::Nothing;
        }
        let heard = self.heard.read().unwrap_or_else(PoisonError::into_inner);
        // What was published between that and the first that was heard here, nobody knows any more.
        if heard.processes.iter().any(|(node, process)| positions.of(*node) + 1 < process.first) {
            return Since::Nothing;
        }
        let knows = |node, last| positions.of(node) >= last;
        if knows(self.node, self.last()) && heard.processes.iter().all(|(node, process)| knows(*node, process.last)) {
            return Since::All;
        }
        Since::Positions(positions.clone())
    }
}
