//! Pages of events found by their words.
//!
//! Source: client-server API, "Server Side Search": in rooms that a user is in or was in, whatever they may see there.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use ruma::{OwnedRoomId, UserId};

use super::{
    PageToken, Rooms, SearchToken, StateKey, StoredEvent, Within,
    access::{ReadError, Reading},
    filter::EventFilter,
    messages::Direction,
    render::Shown,
    search_token::{Candidate, Turned},
    search_walk::WordsAsk,
    state_read::Profile,
};
use crate::{
    storage::{EventNr, Result, RoomNr, Sym, UserNr},
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
    /// Groups want to know whether there is more of them.
    pub grouped: bool,
    pub from: Option<SearchToken>,
    pub limit: usize,
}

/// A page of results.
#[derive(Debug, Default)]
pub struct SearchPage {
    /// How many there are; of very many, how many of the newest were looked at.
    pub count: i64,
    pub hits: Vec<Hit>,
    /// `None` where nothing is left.
    pub next: Option<SearchToken>,
    pub words: Vec<String>,
    /// Rooms and senders of results beyond the page.
    rest: HashSet<(RoomNr, UserNr)>,
    open: bool,
}

/// An event that fits.
#[derive(Debug, Clone)]
pub struct Hit {
    pub shown: Shown,
    pub reading: Arc<Reading>,
    pub rank: f32,
}

/// So many words of a question count.
const ASKED: usize = 16;
/// So many results are found at a time: the best of them come first, and they are counted.
const COMPARED: usize = 500;

impl Rooms {
    /// A page of results.
    ///
    /// # Errors
    /// The database's own.
    pub(super) async fn search_page(&self, user: UserNr, ask: &SearchAsk<'_>) -> Result<SearchPage, ReadError> {
        let asked = words(ask.term, ASKED);
        let mut page = SearchPage { words: asked.clone(), ..SearchPage::default() };
        let until = self.0.log.watermark().0 + 1;
        let from = ask.from.clone();
        let from = from.unwrap_or(SearchToken { before: until, count: 0, ranked: None, within: None });
        let sieve = ask.filter.sieve(&self.0.interner).await?;
        let Some(mut sieve) = sieve.filter(|_| !asked.is_empty() && !ask.kinds.is_empty()) else { return Ok(page) };
        if let Some(Within::Sender(sender)) = &from.within {
            sieve.senders = Some(self.0.interner.find(sender.as_str()).await?.into_iter().collect());
        }
        let within_room = match &from.within {
            Some(Within::Room(room)) => Some(room),
            _ => None,
        };
        let rooms = self.searched(user, ask.filter, within_room).await?;
        // Further pages of the newest need no more than they show.
        let all = ask.by_rank || ask.grouped || ask.from.is_none();
        let want = if all { COMPARED } else { ask.limit.saturating_add(1) };
        let walked = self
            .walk_words(&WordsAsk {
                user,
                words: &asked,
                rooms: &rooms,
                kinds: ask.kinds,
                sieve: &sieve,
                filter: ask.filter,
                floor: from.ranked.map_or(0, |ranked| ranked.floor),
                before: from.before.min(until),
                want: from.ranked.map_or(want, |_| usize::MAX),
            })
            .await?;
        page.count = match ask.from {
            Some(_) => from.count,
            None => i64::try_from(walked.found.len()).unwrap_or(i64::MAX),
        };
        let first = SearchToken { count: page.count, ..from };
        let Turned { page: shown, rest, next, open } = walked.turn(&first, ask.by_rank, ask.limit);
        (page.next, page.open) = (next, open);
        page.rest = rest.iter().map(|it| (it.it.room, it.it.sender)).collect();
        page.hits = self.hits(user, shown).await?;
        Ok(page)
    }

    /// The rooms that are looked into: those that the user has to do with, or had, and has not forgotten. What they may see
    /// there is asked of each event.
    async fn searched(
        &self,
        user: UserNr,
        filter: &EventFilter,
        only: Option<&OwnedRoomId>,
    ) -> Result<HashSet<RoomNr>> {
        let memberships = self.memberships(user).await?;
        let theirs: Vec<RoomNr> = memberships.all.iter().filter(|m| !m.forgotten).map(|m| m.room).collect();
        let rooms = self.find_many(&theirs).await?;
        let wanted = |id: &OwnedRoomId| only.is_none_or(|only| only == id) && filter.takes_room(id.as_str());
        Ok(rooms.into_iter().filter(|(_, room)| wanted(&room.id)).map(|(nr, _)| nr).collect())
    }

    async fn hits(&self, user: UserNr, shown: Vec<Candidate<Arc<StoredEvent>>>) -> Result<Vec<Hit>, ReadError> {
        let rooms = self.find_many(&shown.iter().map(|it| it.it.room).collect::<Vec<_>>()).await?;
        let mut readings: HashMap<RoomNr, Option<Arc<Reading>>> = HashMap::with_capacity(rooms.len());
        for (nr, room) in rooms {
            let reading = match self.open(user, &room.id).await {
                Ok(reading) => Some(Arc::new(reading)),
                Err(ReadError::Forbidden | ReadError::NotFound) => None,
                Err(error) => return Err(error),
            };
            readings.insert(nr, reading);
        }
        let hit = |Candidate { it: event, rank, .. }: Candidate<Arc<StoredEvent>>| {
            let reading = Arc::clone(readings.get(&event.room)?.as_ref()?);
            Some(Hit { shown: event.into(), reading, rank })
        };
        Ok(shown.into_iter().filter_map(hit).collect())
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
    ) -> Result<(Vec<Shown>, Vec<Shown>, PageToken, PageToken)> {
        let ord = hit.shown.event.ord.unwrap_or(i64::MIN);
        let (before, start) = self.neighbours(&hit.reading, Direction::Backwards, ord, before).await?;
        let (after, end) = self.neighbours(&hit.reading, Direction::Forwards, ord + 1, after).await?;
        Ok((before, after, start, end))
    }

    /// The profiles of the senders of `events`, as the room knew them when it was said: of who said several things, at the
    /// first of them in the list.
    ///
    /// # Errors
    /// The database's own.
    pub async fn profiles_then(&self, events: &[&StoredEvent]) -> Result<Vec<Profile>> {
        let mut told = HashSet::new();
        let firsts: Vec<&&StoredEvent> = events.iter().filter(|event| told.insert(event.sender)).collect();
        let frames = self.state_many(&firsts.iter().map(|event| event.frame).collect::<Vec<_>>()).await?;
        let member = firsts.iter().zip(&frames).map(|(event, frame)| frame.state.get(&StateKey::member(event.sender)));
        let members: Vec<EventNr> = member.flatten().copied().collect();
        Ok(self.events(&members).await?.iter().filter_map(|event| Profile::of(event)).collect())
    }
}

impl SearchPage {
    /// Where the next results of a room begin; `None` where nothing is left of it.
    pub fn next_in_room(&self, hit: &Hit) -> Option<SearchToken> {
        let more = self.open || self.rest.iter().any(|(room, _)| *room == hit.shown.event.room);
        self.next_within(more, Within::Room(hit.reading.room.id.clone()))
    }

    /// Where the next results of a sender begin; `None` where nothing is left of them.
    pub fn next_of_sender(&self, hit: &Hit) -> Option<SearchToken> {
        let more = self.open || self.rest.iter().any(|(_, sender)| *sender == hit.shown.event.sender);
        self.next_within(more, Within::Sender(UserId::parse(&*hit.shown.event.sender_text()).ok()?))
    }

    fn next_within(&self, more: bool, within: Within) -> Option<SearchToken> {
        // A page of one group goes on within that group only.
        let next = self.next.as_ref().filter(|_| more)?;
        if next.within.as_ref().is_some_and(|already| *already != within) {
            return None;
        }
        Some(SearchToken { within: Some(within), ..next.clone() })
    }
}
