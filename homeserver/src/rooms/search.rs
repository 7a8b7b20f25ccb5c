//! Events by their words: messages, names and topics of rooms that a user is in.
//!
//! Source: client-server API, "Server Side Search". The words lie in a table of their own, filled behind the log; what is
//! still missing there when somebody asks is taken in first. Encrypted messages have no words.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::{
    Rooms, StateKey, StoredEvent,
    access::{ReadError, Reading},
    filter::EventFilter,
    messages::Direction,
    render::Shown,
    state_read::Profile,
    visibility::HistoryVisibility,
};
use crate::{
    storage::{
        self, EventNr, Pos, Result, RoomNr, Sym, UserNr,
        search::{Query, Text},
    },
    users::words,
};

/// What is looked for.
#[derive(Debug, Clone)]
pub struct SearchAsk<'a> {
    pub term: &'a str,
    /// Types of events whose words count: messages, names, topics.
    pub kinds: &'a [Sym],
    pub filter: &'a EventFilter,
    /// The best first; otherwise the newest.
    pub by_rank: bool,
    /// So many results stood on the pages before.
    pub skip: u32,
    pub limit: usize,
}

/// A page of results.
#[derive(Debug, Clone, Default)]
pub struct SearchPage {
    pub count: i64,
    pub hits: Vec<Hit>,
    /// What stands on this page and those before; `None` where nothing stood on this one.
    pub next: Option<u32>,
    pub words: Vec<String>,
}

/// An event that fits.
#[derive(Debug, Clone)]
pub struct Hit {
    pub shown: Shown,
    pub reading: Arc<Reading>,
    pub rank: f32,
}

/// So many words of a question count, and of an event.
const ASKED: usize = 16;
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

    /// A page of the events that `user` may see and that hold all words of the term.
    ///
    /// # Errors
    /// The database's own.
    pub async fn search(&self, user: UserNr, ask: &SearchAsk<'_>) -> Result<SearchPage, ReadError> {
        let asked = words(ask.term, ASKED);
        let mut page = SearchPage { words: asked.clone(), ..SearchPage::default() };
        let Some(sieve) =
            ask.filter.sieve(&self.0.interner).await?.filter(|_| !asked.is_empty() && !ask.kinds.is_empty())
        else {
            return Ok(page);
        };
        let begun = Instant::now();
        self.take_in(|_| begun.elapsed() < PATIENCE).await?;
        let rooms = self.searched(user, ask.filter).await?;
        let firsts: Vec<(RoomNr, i64)> = rooms.iter().map(|(nr, (_, first))| (*nr, *first)).collect();
        let (until, pool) = (self.0.log.watermark(), &self.0.pool);
        let query = Query { words: &asked, rooms: &firsts, kinds: ask.kinds, sieve: &sieve, until };
        page.count = storage::search::count(pool, &query).await?;
        let limit = i64::try_from(ask.limit).unwrap_or(i64::MAX);
        let found = storage::search::find(pool, &query, ask.by_rank, i64::from(ask.skip), limit).await?;
        if found.is_empty() {
            return Ok(page);
        }
        page.next = u32::try_from(found.len()).ok().and_then(|found| ask.skip.checked_add(found));
        let ranks: HashMap<EventNr, f32> = found.iter().copied().collect();
        let events = self.events(&found.iter().map(|(nr, _)| *nr).collect::<Vec<_>>()).await?;
        let seen = self.seen(user, events.clone()).await?;
        for event in events.into_iter().filter(|event| seen.contains_key(&event.nr) && ask.filter.matches(event)) {
            let Some((reading, _)) = rooms.get(&event.room) else { continue };
            let rank = ranks.get(&event.nr).copied().unwrap_or_default();
            page.hits.push(Hit { shown: event.into(), reading: Arc::clone(reading), rank });
        }
        Ok(page)
    }

    /// The rooms that are looked into, each with the place from which on the user may see its history.
    async fn searched(
        &self,
        user: UserNr,
        filter: &EventFilter,
    ) -> Result<HashMap<RoomNr, (Arc<Reading>, i64)>, ReadError> {
        let memberships = self.memberships(user).await?;
        let rooms = self.find_many(&memberships.joined).await?;
        let mut found = HashMap::with_capacity(rooms.len());
        for (nr, room) in rooms.iter().filter(|(_, room)| filter.takes_room(room.id.as_str())) {
            let reading = self.open(user, &room.id).await?;
            let open = match self.history_visibility(&reading.current).await? {
                HistoryVisibility::Shared | HistoryVisibility::WorldReadable => true,
                HistoryVisibility::Invited | HistoryVisibility::Joined => false,
            };
            let first = match memberships.of(*nr).filter(|_| !open) {
                Some(joined) => self.event(joined.nr).await?.ord.unwrap_or(i64::MAX),
                None => i64::MIN,
            };
            found.insert(*nr, (Arc::new(reading), first));
        }
        Ok(found)
    }

    /// The events right before and right after a hit: the nearest first, with the tokens at both ends.
    ///
    /// # Errors
    /// The database's own.
    pub async fn around(
        &self,
        hit: &Hit,
        before: usize,
        after: usize,
    ) -> Result<(Vec<Shown>, Vec<Shown>, super::PageToken, super::PageToken)> {
        let ord = hit.shown.event.ord.unwrap_or(i64::MIN);
        let (before, start) = self.neighbours(&hit.reading, Direction::Backwards, ord, before).await?;
        let (after, end) = self.neighbours(&hit.reading, Direction::Forwards, ord + 1, after).await?;
        Ok((before, after, start, end))
    }

    /// The profiles of the senders of `events`, as their room knows them now.
    ///
    /// # Errors
    /// The database's own.
    pub async fn sender_profiles(&self, reading: &Reading, events: &[&StoredEvent]) -> Result<Vec<Profile>> {
        let mut members: Vec<EventNr> =
            events.iter().filter_map(|event| reading.state.get(&StateKey::member(event.sender)).copied()).collect();
        members.sort_unstable();
        members.dedup();
        Ok(self.events(&members).await?.iter().filter_map(|event| Profile::of(event)).collect())
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
