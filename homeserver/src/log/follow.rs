//! Seeing the whole log, in order: own commits, other nodes' rings, and what was missed, read back from the database.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use sqlx::postgres::PgListener;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{Log, Slice};
use crate::{
    backoff::Backoff,
    bell::Topic,
    storage::{self, Pos, generation::Standing},
};

/// The channel on which the command line says that it wrote.
pub const CHANNEL: &str = "roost";
/// How old a look at the newest slice may be when something is answered from a cache.
const STALENESS: Duration = Duration::from_secs(1);
/// How often the database is asked while the bell is down.
const WHILE_DOWN: Duration = Duration::from_millis(50);
/// How often it is asked otherwise, in case that a ring was lost on an idle server.
const WHILE_UP: Duration = Duration::from_secs(20);
/// How long a gap may wait for its ring.
const GAP: Duration = Duration::from_millis(10);

pub(super) struct State {
    watermark: AtomicI64,
    generation: i64,
    order: Mutex<Order>,
    /// Lets one look for the newest slice at a time; holds when the last one failed, if it did.
    looks: tokio::sync::Mutex<Option<Instant>>,
    looked_ms: AtomicI64,
    epoch: Instant,
    gap: Notify,
}

/// What is applied one after the other.
struct Order {
    /// Who committed the slice that ends at the watermark.
    writer: i64,
    /// Slices beyond a gap, by first position.
    early: BTreeMap<Pos, Slice>,
}

impl State {
    pub(super) fn new(standing: Standing) -> Self {
        let now = Instant::now();
        Self {
            watermark: AtomicI64::new(standing.newest.0),
            generation: standing.generation,
            order: Mutex::new(Order { writer: standing.writer, early: BTreeMap::new() }),
            looks: tokio::sync::Mutex::new(None),
            looked_ms: AtomicI64::new(0),
            epoch: now,
            gap: Notify::new(),
        }
    }

    pub(super) fn watermark(&self) -> Pos {
        Pos(self.watermark.load(Ordering::Acquire))
    }

    pub(super) fn generation(&self) -> i64 {
        self.generation
    }

    pub(super) fn standing(&self) -> Standing {
        let order = self.order();
        Standing { newest: self.watermark(), writer: order.writer, generation: self.generation }
    }

    fn order(&self) -> MutexGuard<'_, Order> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn millis(&self, at: Instant) -> i64 {
        i64::try_from(at.saturating_duration_since(self.epoch).as_millis()).unwrap_or(i64::MAX)
    }
}

impl Log {
    /// Takes in a slice: applies it if it is the next one, keeps it if it lies beyond a gap.
    pub(super) fn receive(&self, slice: Slice) {
        let state = &self.0.follow;
        if slice.generation != state.generation {
            // An older one is an echo.
            if slice.generation > state.generation {
                self.turn("another node has begun a new generation");
            }
            return;
        }
        let mut order = state.order();
        if slice.last <= state.watermark() {
            return;
        }
        order.early.insert(slice.first, slice);
        while let Some(entry) = order.early.first_entry() {
            let watermark = state.watermark();
            if entry.key().0 > watermark.0 + 1 {
                state.gap.notify_one();
                break;
            }
            let slice = entry.remove();
            if slice.last > watermark {
                self.apply(&slice);
                order.writer = slice.writer;
            }
        }
    }

    fn apply(&self, slice: &Slice) {
        let own = slice.writer == self.0.writer;
        for cache in &self.0.caches {
            cache.apply(slice, own);
        }
        self.0.hub.remember(slice);
        self.0.follow.watermark.store(slice.last.0, Ordering::Release);
        self.0.hub.wake(&slice.rooms, &slice.users);
    }
}

pub(super) async fn fresh(log: &Log) -> storage::Result<()> {
    let state = &log.0.follow;
    let recent = |at: i64| state.millis(Instant::now()) - at < i64::try_from(STALENESS.as_millis()).unwrap_or(i64::MAX);
    if recent(state.looked_ms.load(Ordering::Acquire)) {
        return Ok(());
    }
    // Boxed: what a query needs would take room in every waiting request.
    Box::pin(async {
        // Whoever held the lock has just looked.
        look(log, || recent(state.looked_ms.load(Ordering::Acquire))).await
    })
    .await
}

pub(super) async fn catch_up(log: &Log) -> storage::Result<()> {
    reach(log, Pos(i64::MAX)).await
}

pub(super) async fn reach(log: &Log, pos: Pos) -> storage::Result<()> {
    let state = &log.0.follow;
    if state.watermark() >= pos {
        return Ok(());
    }
    // Whoever held the lock may have read it.
    look(log, || state.watermark() >= pos).await
}

/// Reads what was missed, unless `is_done` says that somebody else has meanwhile.
async fn look(log: &Log, is_done: impl Fn() -> bool) -> storage::Result<()> {
    let state = &log.0.follow;
    let asked = Instant::now();
    let mut failed = state.looks.lock().await;
    if is_done() {
        return Ok(());
    }
    // Trying again would let those who wait time out one after the other, each later than the one before.
    if failed.is_some_and(|at| at >= asked) {
        return Err(storage::Error::Unavailable(sqlx::Error::PoolTimedOut));
    }
    let start = Instant::now();
    let read = read_missed(log).await;
    *failed = read.is_err().then(Instant::now);
    read?;
    state.looked_ms.store(state.millis(start), Ordering::Release);
    Ok(())
}

/// Reads on from the newest slice that is known, and makes sure that it is still there: a database that lacks it has lost
/// the end of the log, or this node has slept until nobody kept it.
async fn read_missed(log: &Log) -> storage::Result<()> {
    loop {
        let seen = log.0.follow.standing();
        let rows = storage::slice::from(&log.0.pool, seen.newest).await?;
        let stands = rows.first().is_some_and(|row| row.last == seen.newest && row.writer == seen.writer);
        if !stands && seen.newest > Pos(0) {
            log.turn("the newest commit that it knows is not in the database");
            return Err(storage::Error::Unavailable(sqlx::Error::PoolTimedOut));
        }
        let more = rows.len() == storage::slice::AT_ONCE;
        for row in rows {
            log.receive(row.into());
        }
        if !more {
            return Ok(());
        }
    }
}

/// Follows the other nodes until `shutdown`.
pub(super) async fn run(log: Log, shutdown: CancellationToken) {
    let mut bell = log.0.bell.clone();
    let mut slices = bell.listen(Topic::Slice);
    let mut heartbeats = bell.listen(Topic::Heartbeat);
    let outside = Notify::new();
    let listen = listen(&log, &outside);
    tokio::pin!(listen);
    let mut beat = tokio::time::interval(STALENESS);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut backoff = Backoff::new(WHILE_DOWN, STALENESS);
    let mut looked = tokio::time::Instant::now();
    loop {
        let pause = if bell.is_up() { WHILE_UP } else { WHILE_DOWN };
        let due = tokio::select! {
            () = shutdown.cancelled() => return,
            () = &mut listen => return,
            Some(ring) = slices.recv() => {
                match serde_json::from_slice::<Slice>(&ring) {
                    Ok(slice) if slice.writer != log.0.writer => log.receive(slice),
                    Ok(_) => {}
                    Err(error) => tracing::warn!(%error, "a ring that this version can't read"),
                }
                false
            }
            Some(ring) = heartbeats.recv() => {
                std::str::from_utf8(&ring).ok().and_then(|text| text.parse().ok()).is_some_and(|pos: i64| pos > log.watermark().0)
            }
            _ = beat.tick(), if bell.is_shared() => {
                bell.ring(Topic::Heartbeat, log.watermark().0.to_string().into());
                false
            }
            () = bell.came_up() => true,
            () = outside.notified() => true,
            () = log.0.follow.gap.notified() => {
                tokio::time::sleep(GAP).await;
                true
            }
            () = tokio::time::sleep_until(looked + pause) => true,
        };
        if due {
            if let Err(error) = catch_up(&log).await {
                tracing::warn!(%error, "can't read the log");
                backoff.wait().await;
            } else {
                backoff.reset();
            }
            looked = tokio::time::Instant::now();
        }
    }
}

/// Hears the command line's commits; notes each in `outside`. Never ends.
async fn listen(log: &Log, outside: &Notify) {
    loop {
        let heard = async {
            let mut listener = PgListener::connect_with(&log.0.pool).await?;
            listener.listen(CHANNEL).await?;
            loop {
                outside.notify_one();
                listener.recv().await?;
            }
        };
        let result: Result<(), sqlx::Error> = heard.await;
        if let Err(error) = result {
            tracing::debug!(%error, "the listening connection was lost");
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}
