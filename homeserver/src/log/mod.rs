//! The one log: group commit, positions, and what every node has seen of them.
//!
//! A request hands its writes to [`Log`] and waits; one task a node commits what has gathered, in one call. What was
//! committed comes back as [`Slice`]s, in order, from this node and from the others: first to the caches ([`Apply`]),
//! then the watermark rises, then the long-polls that care are woken.
//!
//! **Invariant:** nothing else gives out positions, and nothing is answered from a cache that may be over a second behind.

mod committed;
mod committer;
mod follow;
mod group;
mod hub;
mod line;
mod numbers;
mod outside;
mod prune;
mod slice;
mod writer;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

pub use committer::Submitted;
pub use group::{MAX_BYTES, MAX_EVENTS};
pub use hub::{Changes, Watch};
pub use numbers::Taken;
pub use outside::outside;
pub use slice::{Apply, Beside, LogEvent, LogReceipt, Notice, Slice};
use sqlx::{PgPool, postgres::PgConnectOptions};
use tokio::sync::{mpsc, oneshot};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
pub use writer::Writer;

use crate::{
    bell::Bell,
    storage::{
        self, Pos, RoomNr, UserNr,
        commit::{AccountDataWrite, Batch, ReceiptWrite, RoomWrite, ToDeviceWrite},
        generation::Standing,
        user_change::{Became, UserWrite},
    },
};

/// Why something was not committed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// The database did not answer in time. Whether it committed is unknown: repeat under the same transaction ID.
    #[error("the database is not reachable")]
    Unavailable,
    /// More is waiting to be committed than this node takes on.
    #[error("too much is waiting to be written")]
    Overloaded,
    /// The database refused exactly this item.
    #[error("the database refused the write: {0}")]
    Refused(Arc<str>),
    /// The node is going down.
    #[error("the server is shutting down")]
    ShuttingDown,
}

/// Writes that need no room's head. One commit covers them all.
#[derive(Debug, Clone, Default)]
pub struct Writes {
    pub receipts: Vec<ReceiptWrite>,
    pub account_data: Vec<AccountDataWrite>,
    pub to_device: Vec<ToDeviceWrite>,
    /// Users whose device lists changed. Name the rooms that they are joined to in `wake_rooms`.
    pub device_changes: Vec<UserNr>,
    pub wake_rooms: Vec<RoomNr>,
    pub wake_users: Vec<UserNr>,
    /// What the caches of all nodes must drop.
    pub notices: Vec<Notice>,
    /// What changes about users. The commit tells of it by itself.
    pub users: Vec<UserWrite>,
}

/// What became of writes.
#[derive(Debug, Clone)]
pub struct Written {
    /// The position of the commit's end.
    pub pos: Pos,
    /// What became of each change of a user, in their order.
    pub changed: Vec<Became>,
}

impl From<Writes> for Batch {
    fn from(writes: Writes) -> Self {
        Self {
            rooms: Vec::new(),
            receipts: writes.receipts,
            account_data: writes.account_data,
            to_device: writes.to_device,
            device_changes: writes.device_changes,
            wake_rooms: writes.wake_rooms,
            wake_users: writes.wake_users,
            notices: writes.notices.iter().map(|notice| notice.to_text()).collect(),
            users: writes.users,
        }
    }
}

/// How the log is set up.
pub struct Options {
    pub pool: PgPool,
    pub connect: PgConnectOptions,
    pub bell: Bell,
    /// Caches that follow the log, in the order in which they are told.
    pub caches: Vec<Arc<dyn Apply>>,
    /// Ends the node's tasks. The committer first commits what is queued.
    pub shutdown: CancellationToken,
    pub tasks: TaskTracker,
    /// What the log before this one has seen, in a node that begins anew.
    pub seen: Option<Standing>,
}

/// The node's end of the log. Cheap to clone.
#[derive(Clone)]
pub struct Log(Arc<Inner>);

struct Inner {
    pool: PgPool,
    bell: Bell,
    caches: Vec<Arc<dyn Apply>>,
    hub: hub::Hub,
    follow: follow::State,
    queue: mpsc::UnboundedSender<group::Job>,
    queued: AtomicUsize,
    /// The committer has had no answer for long.
    away: AtomicBool,
    numbers: numbers::Numbers,
    /// Names this process among the writers: the first number of a block that is its alone.
    writer: i64,
    /// The line of the database's own history that all of this stands on, if it tells.
    lineage: Option<String>,
    turned: CancellationToken,
}

/// How long a commit is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// What waits for the next commit at most; more is refused.
const QUEUE_LIMIT: usize = 20_000;

impl Log {
    /// Reads where the log stands and starts the node's tasks: the committer, and the follower of other nodes.
    ///
    /// # Errors
    /// The database's own.
    pub async fn start(options: Options) -> storage::Result<Self> {
        let mut conn = options.pool.acquire().await?;
        let (standing, lineage) = storage::generation::stand(&mut conn, options.seen).await?;
        drop(conn);
        let writer = storage::slice::number_block(&options.pool).await?;
        let (queue, jobs) = mpsc::unbounded_channel();
        let log = Self(Arc::new(Inner {
            numbers: numbers::Numbers::new(options.pool.clone()),
            pool: options.pool,
            bell: options.bell,
            caches: options.caches,
            hub: hub::Hub::new(standing.newest),
            follow: follow::State::new(standing),
            queue,
            queued: AtomicUsize::new(0),
            away: AtomicBool::new(false),
            writer,
            lineage,
            turned: CancellationToken::new(),
        }));
        options.tasks.spawn(committer::run(log.clone(), options.connect, jobs, options.shutdown.clone()));
        options.tasks.spawn(follow::run(log.clone(), options.shutdown.clone()));
        options.tasks.spawn(prune::run(log.clone(), options.shutdown));
        Ok(log)
    }

    /// Queues events for the next commit, behind what was submitted before. Call it under the room's lock, so that the
    /// order of submission is the order in which the events were built.
    ///
    /// # Errors
    /// Nothing was queued.
    pub fn submit(&self, write: RoomWrite) -> Result<Pending<Submitted>, Error> {
        let (answer, pending) = oneshot::channel();
        self.enqueue(group::Work::Room { write, answer })?;
        Ok(Pending(pending))
    }

    /// Commits what needs no room's head and returns the position of the commit's end.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn write(&self, writes: Writes) -> Result<Pos, Error> {
        self.change(writes).await.map(|written| written.pos)
    }

    /// As [`Self::write`], and says what became of each change of a user.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn change(&self, writes: Writes) -> Result<Written, Error> {
        let (answer, pending) = oneshot::channel();
        self.enqueue(group::Work::Writes { writes, answer })?;
        let written = Pending(pending).outcome().await?;
        // Whoever wrote here finds it here: another node's slice before it may still be on its way.
        if let Err(error) = self.reach(written.pos).await {
            tracing::warn!(%error, "committed, and not seen by this node yet");
        }
        Ok(written)
    }

    fn enqueue(&self, work: group::Work) -> Result<(), Error> {
        if self.is_away() {
            return Err(Error::Unavailable);
        }
        if self.0.queued.fetch_add(1, Ordering::Relaxed) >= QUEUE_LIMIT {
            self.0.queued.fetch_sub(1, Ordering::Relaxed);
            return Err(Error::Overloaded);
        }
        self.0.queue.send(group::Job { work, asked: Instant::now() }).map_err(|_| Error::ShuttingDown)
    }

    /// Takes `count` fresh numbers for rooms, events and frames.
    ///
    /// # Errors
    /// The database's own, when a new block is due.
    pub async fn numbers(&self, count: usize) -> storage::Result<Taken> {
        self.0.numbers.take(count).await
    }

    /// How far this node has seen the log. What a sync reads is bounded by it.
    pub fn watermark(&self) -> Pos {
        self.0.follow.watermark()
    }

    /// Whether there may be other nodes that do what this one does not hear of.
    pub fn is_shared(&self) -> bool {
        self.0.bell.is_shared()
    }

    /// Names this process among the writers.
    pub fn writer(&self) -> i64 {
        self.0.writer
    }

    /// The log's generation: a failover or a restore starts a new one.
    pub fn generation(&self) -> i64 {
        self.0.follow.generation()
    }

    /// What this node has seen last.
    pub fn standing(&self) -> Standing {
        self.0.follow.standing()
    }

    /// Whether writes are refused, because the database is away or not the one that this node knows.
    pub fn is_away(&self) -> bool {
        self.0.away.load(Ordering::Relaxed)
    }

    /// Returns when the database is no longer the one that this node knows: a failover lost the end of the log, or this node
    /// was away for too long. Nothing in its memory can be trusted then; it has to begin anew.
    pub async fn turned(&self) {
        self.0.turned.cancelled().await;
    }

    fn is_turned(&self) -> bool {
        self.0.turned.is_cancelled()
    }

    fn turn(&self, why: &str) {
        if !self.is_turned() {
            tracing::warn!(watermark = self.watermark().0, why, "the log has turned: this node begins anew");
            self.0.away.store(true, Ordering::Relaxed);
            self.0.turned.cancel();
        }
    }

    /// Returns when this node has seen all that was committed up to a second ago. Await it before answering from a cache.
    ///
    /// # Errors
    /// The database's own, when a look is due.
    pub async fn fresh(&self) -> storage::Result<()> {
        follow::fresh(self).await
    }

    /// Returns when this node has seen all that was committed before the call, on any node: for answers that what a sync of
    /// another node told must hold in. One small query; none where this node is the only one.
    ///
    /// # Errors
    /// The database's own.
    pub async fn caught_up(&self) -> storage::Result<()> {
        if !self.is_shared() {
            return Ok(());
        }
        self.reach(storage::slice::newest(&self.0.pool).await?).await
    }

    /// Returns when this node has seen `pos`.
    ///
    /// # Errors
    /// The database's own. A position that nobody has committed is no error: the watermark stays below it.
    pub async fn reach(&self, pos: Pos) -> storage::Result<()> {
        follow::reach(self, pos).await
    }

    /// Registers a long-poll of `user`: woken when one of `rooms` or the user is touched. Register first, read then, and
    /// wait last, so that nothing is missed between.
    pub fn watch(&self, user: UserNr, rooms: &Arc<[RoomNr]>) -> Watch {
        self.0.hub.watch(user, rooms)
    }

    /// What was touched after `since`, from memory.
    pub fn changes(&self, user: UserNr, rooms: &[RoomNr], since: Pos) -> Changes {
        self.0.hub.changes(user, rooms, since)
    }

    /// Wakes the long-polls that watch `rooms` or `users` for what has no position (typing, presence).
    pub fn wake(&self, rooms: &[RoomNr], users: &[UserNr]) {
        self.0.hub.wake(rooms, users);
    }

    /// Wakes the long-polls that watch one of `rooms`, each once, for what has no position. Returns how many.
    pub fn wake_once(&self, rooms: &[RoomNr]) -> usize {
        self.0.hub.wake_once(rooms)
    }

    /// Long-polls registered on this node, and writes waiting for the committer: for metrics.
    pub fn load(&self) -> (usize, usize) {
        (self.0.hub.watches(), self.0.queued.load(Ordering::Relaxed))
    }
}

/// The answer to a submitted write, to be had when its commit is on disk.
pub struct Pending<T>(oneshot::Receiver<Result<T, Error>>);

impl<T> Pending<T> {
    /// Waits for the commit; not for ever: an outcome that is not known by then is asked for without whoever waited.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn outcome(self) -> Result<T, Error> {
        match tokio::time::timeout(PATIENCE, self.0).await {
            Ok(answer) => answer.unwrap_or(Err(Error::ShuttingDown)),
            Err(_) => Err(Error::Unavailable),
        }
    }
}
