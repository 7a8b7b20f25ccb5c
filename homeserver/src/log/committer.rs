//! The group commit: one task, one connection, one call in flight.

use std::{
    collections::VecDeque,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use sqlx::postgres::PgConnectOptions;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    Error, Log, Written,
    committed::slice,
    group::{Group, Job, Refused, Work},
    line::{Failure, Line},
    prune,
};
use crate::{
    backoff::Backoff,
    bell::Topic,
    metrics,
    storage::{
        Pos,
        commit::{Answer, Batch, Outcome, RoomWrite, TxnKey},
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

/// After so long without an answer nothing more is taken on, until there is one.
const PATIENCE: Duration = Duration::from_secs(8);
/// How long an answer is waited for while the node goes down.
const LAST_PATIENCE: Duration = Duration::from_secs(3);

struct Committer {
    log: Log,
    refused: Refused,
    line: Line,
    /// The number of the last batch.
    number: i64,
    /// Since when there was no answer, if the last call got none.
    unanswered: Option<Instant>,
    shutdown: CancellationToken,
}

/// Commits until `shutdown`, and then what is still queued.
pub(super) async fn run(
    log: Log,
    connect: PgConnectOptions,
    mut queue: mpsc::UnboundedReceiver<Job>,
    shutdown: CancellationToken,
) {
    let (refused, line) = (Refused::default(), Line::new(connect, log.0.lineage.clone()));
    let mut committer = Committer { log, refused, line, number: 0, unanswered: None, shutdown };
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
        // First the way to the database: what nobody waits for any more when it is there is not taken.
        committer.connect().await;
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
                Ok(answer) => self.deliver(group, &batch, &places, &answer),
                Err(failure @ (Failure::Refused(_) | Failure::Slow)) if group.jobs.len() > 1 => {
                    // Halved until the bad item stands alone. A room's chain may break in two: the second half is then
                    // judged by what became of the first.
                    tracing::warn!(?failure, jobs = group.jobs.len(), "a batch was refused and is halved");
                    let (first, second) = group.halve();
                    groups.push(second);
                    groups.push(first);
                }
                Err(Failure::Refused(error)) if is_twin(&error) => group.turn_back(&mut self.refused),
                Err(Failure::Refused(error)) => {
                    tracing::error!(%error, "the database refused a write");
                    group.fail(&Error::Refused(error.to_string().into()), &mut self.refused);
                }
                // As long as somebody waits for it: the database may have been held up by something else.
                Err(Failure::Slow) => {
                    tracing::warn!("a write took too long and is tried again");
                    groups.push(group);
                }
                Err(Failure::Unreadable(words)) => {
                    tracing::error!(words, "a batch is stored, and its answer can't be read");
                    let error = Error::Refused(words.into());
                    group.jobs.into_iter().for_each(|job| job.fail(&error));
                }
                // Only while the node goes down: what is submitted after it finds no committer.
                Err(Failure::Lost(error)) => {
                    tracing::error!(%error, "a batch was given up; whether it is stored is not known");
                    group.jobs.into_iter().for_each(|job| job.fail(&Error::Unavailable));
                }
            }
        }
    }

    /// Calls until the outcome is known, however long that takes: the same number each time.
    async fn call(&mut self, batch: &Batch) -> Result<Answer, Failure> {
        self.number += 1;
        let mut backoff = Backoff::new(Duration::from_millis(10), Duration::from_millis(400));
        loop {
            let begun = Instant::now();
            let failure = match self.line.call(self.log.0.writer, self.number, batch).await {
                Err(Failure::Lost(error)) => error,
                known => {
                    self.answered();
                    return known;
                }
            };
            tracing::warn!(error = %failure, "a commit got no answer and is asked for again");
            let since = *self.unanswered.get_or_insert(begun);
            if since.elapsed() > prune::KEPT / 2 {
                // Others may have dropped the slice that would tell.
                self.log.turn("the outcome of a commit was not to be had for too long");
            }
            backoff.wait().await;
            self.connect().await;
            if self.is_over() {
                return Err(Failure::Lost(failure));
            }
        }
    }

    /// Returns when there is a connection and nothing else is under way; or when the node goes down without one.
    async fn connect(&mut self) {
        let mut backoff = Backoff::new(Duration::from_millis(20), Duration::from_millis(400));
        while let Err(error) = self.line.connect().await {
            let since = *self.unanswered.get_or_insert_with(Instant::now);
            if since.elapsed() > PATIENCE && !self.log.0.away.swap(true, Ordering::Relaxed) {
                tracing::error!(%error, "the database is away: nothing is written until it is back");
            }
            if self.line.is_foreign() {
                self.log.turn("the database is another one than before: a standby was promoted");
            }
            if self.is_over() {
                return;
            }
            backoff.wait().await;
        }
    }

    fn answered(&mut self) {
        self.unanswered = None;
        if self.log.0.away.swap(false, Ordering::Relaxed) {
            tracing::info!("the database is back");
        }
    }

    /// Whether the node goes down, and has waited long enough; or begins anew, and what it has built on is gone.
    fn is_over(&self) -> bool {
        self.log.is_turned()
            || self.shutdown.is_cancelled() && self.unanswered.is_some_and(|since| since.elapsed() > LAST_PATIENCE)
    }

    /// Tells caches, other nodes and the jobs.
    fn deliver(&mut self, group: Group, batch: &Batch, places: &[Option<usize>], answer: &Answer) {
        if answer.last > Pos(0) {
            let slice = slice(batch, answer, self.log.0.writer);
            let ring = self.log.0.bell.is_shared().then(|| serde_json::to_vec(&slice));
            self.log.receive(slice);
            match ring {
                Some(Ok(payload)) => self.log.0.bell.ring(Topic::Slice, payload.into()),
                Some(Err(error)) => tracing::error!(%error, "a slice can't be written as JSON"),
                None => {}
            }
        }
        let mut changed = answer.changed.iter().copied();
        for (job, place) in group.jobs.into_iter().zip(places) {
            let outcome = place.and_then(|p| answer.outcomes.get(p)).copied().unwrap_or(Outcome::Stale);
            let submitted = match &job.work {
                Work::Room { write, .. } => submitted(write, outcome, answer),
                Work::Writes { .. } => Submitted::Stored { pos: answer.last, beside: false },
            };
            if !matches!(submitted, Submitted::Stored { .. }) {
                self.refused.add(&job);
            }
            match job.work {
                Work::Room { answer: sender, .. } => drop(sender.send(Ok(submitted))),
                Work::Writes { writes, answer: sender } => {
                    let changed = changed.by_ref().take(writes.users.len()).collect();
                    drop(sender.send(Ok(Written { pos: answer.last, changed })));
                }
            }
        }
    }
}

fn submitted(write: &RoomWrite, outcome: Outcome, answer: &Answer) -> Submitted {
    match outcome {
        // A resubmitted batch does not say where its events lie.
        Outcome::Stored => Submitted::Stored { pos: answer.last, beside: answer.ord_base.is_empty() },
        Outcome::Beside => Submitted::Stored { pos: answer.last, beside: true },
        Outcome::Stale => Submitted::Stale,
        Outcome::Held => Submitted::Held,
        Outcome::Known => known(write, answer).map_or(Submitted::Stale, Submitted::Known),
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
