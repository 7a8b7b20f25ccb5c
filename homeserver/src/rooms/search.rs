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
    storage::{self, Pos, Result, Sym, UserNr, search::Text},
    users::words,
};

/// So many words of an event count.
const TAKEN: usize = 500;
/// Commits that are looked at in one step.
const SLICES: i64 = 500;
/// In the background so many steps are made at a time; before an answer as many as fit into this time.
const STEPS: usize = 4;
const PATIENCE: Duration = Duration::from_secs(5);
const EVERY: Duration = Duration::from_secs(10);

impl Rooms {
    /// Takes in the words of what was said, little by little, until `shutdown`. Whatever the log's haste, this takes but a
    /// small part of the database's time: what is left over is done when somebody asks.
    pub async fn take_in_words(self, shutdown: CancellationToken) {
        let mut done = Pos(-1);
        while shutdown.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_some() {
            if self.0.log.watermark() == done {
                continue;
            }
            match self.take_in(|step| step < STEPS).await {
                Ok(reached) => done = reached,
                Err(error) => tracing::debug!(%error, "words could not be taken in"),
            }
        }
    }

    /// Takes in what the log holds up to now, as long as `go_on` says so. Returns how far it came.
    async fn take_in(&self, go_on: impl Fn(usize) -> bool) -> Result<Pos> {
        let pool = &self.0.pool;
        let until = self.0.log.watermark();
        let mut reached = storage::search::cursor(pool).await?;
        let mut step = 0;
        while reached < until && go_on(step) {
            let (end, texts) = storage::search::next(pool, reached, until, SLICES).await?;
            let texts: Vec<(Text, String)> =
                texts.into_iter().filter_map(|text| Some((text.clone(), said(&text)?))).collect();
            storage::search::take_in(pool, reached, end, &texts).await?;
            reached = storage::search::cursor(pool).await?;
            step += 1;
        }
        Ok(reached)
    }

    /// A page of the events that `user` may see and that hold all words of the term. What was said up to now is taken in
    /// first.
    ///
    /// # Errors
    /// The database's own.
    pub async fn search(&self, user: UserNr, ask: &SearchAsk<'_>) -> Result<SearchPage, ReadError> {
        let begun = Instant::now();
        self.take_in(|_| begun.elapsed() < PATIENCE).await?;
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
