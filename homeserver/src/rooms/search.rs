//! Events by their words: messages, names and topics of rooms that a user is in.
//!
//! Source: client-server API, "Server Side Search". The words lie in a table of their own, filled behind the log; what is
//! still missing there when somebody asks is taken in first. Encrypted messages have no words.

use std::time::{Duration, Instant};

use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::{
    Rooms,
    access::ReadError,
    search_page::{SearchAsk, SearchPage},
};
use crate::{
    metrics,
    storage::{self, Pos, Result, Sym, UserNr, search::Text},
    users::words,
};

/// So many words of an event count.
const TAKEN: usize = 500;
/// So many positions of the log are looked at in one step.
const POSITIONS: i64 = 1000;
/// How long is looked before an answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// In the background a look every so often; a step that had something to do is followed by another, after a pause of so many
/// times what it took.
const EVERY: Duration = Duration::from_secs(10);
const PAUSES: u32 = 2;
/// No pause is longer: a database that is busy answers late, and words would fall behind for good.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

impl Rooms {
    /// Takes in the words of what was said, little by little, until `shutdown`. A step costs the same however far behind the
    /// log it is, and the pauses between leave the database to the writers.
    pub async fn take_in_words(self, shutdown: CancellationToken) {
        let (mut pause, mut done) = (EVERY, Pos(-1));
        while shutdown.run_until_cancelled(tokio::time::sleep(pause)).await.is_some() {
            let begun = Instant::now();
            pause = EVERY;
            // A server where nothing happens leaves the database alone.
            if self.0.log.watermark() == done {
                continue;
            }
            match self.take_a_step(false).await {
                Ok(Some(reached)) if reached < self.0.log.watermark() => {
                    pause = (begun.elapsed() * PAUSES).min(LONGEST_PAUSE);
                }
                Ok(Some(reached)) => done = reached,
                Ok(None) => {}
                Err(error) => tracing::debug!(%error, "words could not be taken in"),
            }
        }
    }

    /// Takes in what the log holds up to now, as far as `patience` reaches.
    async fn take_in(&self, patience: Duration) -> Result<()> {
        let (begun, until) = (Instant::now(), self.0.log.watermark());
        while begun.elapsed() < patience {
            match self.take_a_step(true).await? {
                Some(reached) if reached < until => {}
                _ => break,
            }
        }
        Ok(())
    }

    /// Takes in the words of the next commits. Returns how far they reach; `None` where another node does it, and
    /// `wait` was not asked for.
    async fn take_a_step(&self, wait: bool) -> Result<Option<Pos>> {
        let until = self.0.log.watermark();
        let Some(mut step) = storage::search::begin(&self.0.pool, wait).await? else { return Ok(None) };
        metrics::WORDS_BEHIND.set(until.0.saturating_sub(step.reached.0).max(0));
        if step.reached >= until {
            return Ok(Some(step.reached));
        }
        let (end, texts) = step.next(until, POSITIONS).await?;
        let texts: Vec<(Text, String)> =
            texts.into_iter().filter_map(|text| said(&text).map(|words| (text, words))).collect();
        step.take_in(end, &texts).await?;
        metrics::WORDS_BEHIND.set(until.0.saturating_sub(end.0).max(0));
        Ok(Some(end))
    }

    /// A page of the events that `user` may see and that hold all words of the term. What was said up to now is taken in
    /// first.
    ///
    /// # Errors
    /// The database's own.
    pub async fn search(&self, user: UserNr, ask: &SearchAsk<'_>) -> Result<SearchPage, ReadError> {
        self.take_in(PATIENCE).await?;
        self.search_page(user, ask).await
    }
}

/// The words of an event, parted by spaces; `None` where it has none.
fn said(text: &Text) -> Option<String> {
    #[derive(Deserialize)]
    struct Event {
        content: serde_json::Map<String, serde_json::Value>,
    }
    let event: Event = serde_json::from_str(&text.json).ok()?;
    let key = match text.kind {
        Sym::NAME => "name",
        Sym::TOPIC => "topic",
        _ => "body",
    };
    let words = words(event.content.get(key)?.as_str()?, TAKEN);
    (!words.is_empty()).then(|| words.join(" "))
}
