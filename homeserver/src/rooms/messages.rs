//! Pages of a room's history, and what stands around an event.

use std::{collections::HashSet, sync::Arc};

use super::{
    PageToken, Rooms, StateKey, StateMap, StoredEvent,
    access::{ReadError, Reading},
    filter::EventFilter,
    render::Shown,
    visibility::{Ask, Sight},
};
use crate::storage::{
    self, EventNr, Pos, Result, RoomNr, Sym,
    event::{Place, Sieve},
};

/// Which way to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// The newest first.
    Backwards,
    /// The oldest first.
    Forwards,
}

/// Which page is wanted.
#[derive(Debug, Clone)]
pub struct PageAsk<'a> {
    pub from: Option<PageToken>,
    pub to: Option<PageToken>,
    pub direction: Direction,
    pub limit: usize,
    pub filter: &'a EventFilter,
}

/// A page, in the order of its direction.
#[derive(Debug, Clone)]
pub struct Page {
    pub start: PageToken,
    /// Where the next page begins; `None` where nothing is left, and nothing came through a filter.
    pub end: Option<PageToken>,
    pub chunk: Vec<Shown>,
    /// The memberships of the senders, if they are wanted.
    pub members: Vec<Arc<StoredEvent>>,
}

/// An event with its neighbours.
#[derive(Debug, Clone)]
pub struct Context {
    pub event: Shown,
    /// The nearest first.
    pub before: Vec<Shown>,
    pub after: Vec<Shown>,
    pub start: PageToken,
    pub end: PageToken,
    pub state: Vec<Arc<StoredEvent>>,
}

/// After so many events that the reader may not see or does not want, a page ends, even if it is empty.
const MOST_PASSED: usize = 2000;
/// How many places are looked at in one step at least: what is left out costs little then.
const STEP: usize = 32;

/// The reader's walk through a room's history.
struct Walk<'a> {
    reading: &'a Reading,
    direction: Direction,
    /// All places lie in `low..high`; the walk moves the one end or the other.
    low: i64,
    high: i64,
    until: Pos,
    sieve: Sieve,
    filter: &'a EventFilter,
}

impl Rooms {
    /// A page of what the reader may see of the room's history.
    ///
    /// # Errors
    /// The database's own.
    pub async fn page(&self, reading: &Reading, ask: PageAsk<'_>) -> Result<Page> {
        let until = self.0.log.watermark();
        let start = ask.from.unwrap_or(match ask.direction {
            Direction::Backwards => PageToken::Synced(until),
            Direction::Forwards => PageToken::Before(i64::MIN + 2),
        });
        let (from, to) = (self.boundary(reading.room.nr, start).await?, ask.to);
        let to = match to {
            Some(to) => Some(self.boundary(reading.room.nr, to).await?),
            None => None,
        };
        let (low, high) = match ask.direction {
            Direction::Backwards => (to.unwrap_or(i64::MIN), from),
            Direction::Forwards => (from, to.unwrap_or(i64::MAX)),
        };
        let mut page = Page { start, end: None, chunk: Vec::new(), members: Vec::new() };
        let sieve = ask.filter.sieve(&self.0.interner).await?;
        let Some(sieve) = sieve.filter(|_| ask.filter.takes_room(reading.room.id.as_str())) else { return Ok(page) };
        let mut walk = Walk { reading, direction: ask.direction, low, high, until, sieve, filter: ask.filter };
        let limit = ask.filter.limit.map_or(ask.limit, |limit| limit.min(ask.limit));
        let (chunk, more) = self.walk(&mut walk, limit).await?;
        // Under a filter an empty page tells the end, as those who search so expect it.
        let goes_on = more || ask.filter.is_selective() && !chunk.is_empty();
        page.end = goes_on.then(|| PageToken::Before(walk.edge()));
        if ask.filter.lazy_members {
            page.members = self.senders(&chunk).await?;
        }
        page.chunk = chunk;
        Ok(page)
    }

    /// The event with its neighbours: half of `limit` on each side, and the state after the last of them.
    ///
    /// # Errors
    /// [`ReadError::NotFound`] where the reader may not see the event either.
    pub async fn context(
        &self,
        reading: &Reading,
        event_id: &str,
        limit: usize,
        filter: &EventFilter,
    ) -> Result<Context, ReadError> {
        let event = self.visible(reading, event_id).await?;
        let ord = event.event.ord.unwrap_or(i64::MIN);
        let sieve = filter.sieve(&self.0.interner).await?.filter(|_| filter.takes_room(reading.room.id.as_str()));
        let (mut before, mut after) = (Vec::new(), Vec::new());
        let (mut start, mut end) = (ord, ord + 1);
        if let Some(sieve) = sieve {
            let until = self.0.log.watermark();
            let mut walk =
                Walk { reading, direction: Direction::Backwards, low: i64::MIN, high: ord, until, sieve, filter };
            before = self.walk(&mut walk, limit / 2).await?.0;
            start = walk.edge();
            walk = Walk { direction: Direction::Forwards, low: ord + 1, high: i64::MAX, ..walk };
            after = self.walk(&mut walk, limit - limit / 2).await?.0;
            end = walk.edge();
        }
        let all: Vec<Shown> = before.iter().chain([&event]).chain(&after).cloned().collect();
        let last = after.last().unwrap_or(&event);
        let frame = self.state(last.event.frame).await?;
        let lazy = filter.lazy_members;
        let wanted = frame.state.iter().filter(|(key, _)| !lazy || key.kind != Sym::MEMBER).map(|(_, nr)| *nr);
        let mut state = self.events(&wanted.collect::<Vec<_>>()).await?;
        state.retain(|event| filter.matches(event));
        if lazy {
            state.extend(self.senders(&all).await?);
        }
        let (start, end) = (PageToken::Before(start), PageToken::Before(end));
        Ok(Context { event, before, after, start, end, state })
    }

    /// An event of the room, if the reader may see it.
    ///
    /// # Errors
    /// [`ReadError::NotFound`].
    pub async fn visible(&self, reading: &Reading, event_id: &str) -> Result<Shown, ReadError> {
        let event = self.event_by_id(reading.room.nr, event_id).await?.ok_or(ReadError::NotFound)?;
        let ord = event.ord.ok_or(ReadError::NotFound)?;
        let sight = self.sight(reading, ord).await?;
        if !sight.sees(&event) {
            return Err(ReadError::NotFound);
        }
        Ok(sight.shown(event))
    }

    /// Up to `limit` visible and wanted events from the walk's moving end on, and whether there may be more.
    async fn walk(&self, walk: &mut Walk<'_>, limit: usize) -> Result<(Vec<Shown>, bool)> {
        let (mut chunk, mut passed) = (Vec::with_capacity(limit.min(128)), 0);
        if limit == 0 {
            return Ok((chunk, true));
        }
        while passed < MOST_PASSED {
            // One more than wanted says whether there are more.
            let step = (limit - chunk.len() + 1).max(if passed > 0 { STEP * 8 } else { STEP.min(limit + 1) });
            let places = self.places(walk, step).await?;
            let exhausted = places.len() < step;
            let Some(oldest) = places.iter().map(|p| p.ord).min() else { return Ok((chunk, false)) };
            let sight = self.sight(walk.reading, oldest).await?;
            let events = self.events(&places.iter().map(|p| p.nr).collect::<Vec<_>>()).await?;
            let relations = &walk.filter.relations;
            let parents = match relations.asks_for_children() {
                true => Some(self.with_children(relations, &events).await?),
                false => None,
            };
            for (place, event) in places.iter().zip(events) {
                if chunk.len() == limit {
                    return Ok((chunk, true));
                }
                walk.pass(place);
                let is_parent = parents.as_ref().is_none_or(|parents| parents.contains(&*event.id));
                if is_parent && sight.sees(&event) && walk.filter.matches(&event) {
                    chunk.push(sight.shown(event));
                } else {
                    passed += 1;
                }
            }
            if exhausted {
                return Ok((chunk, false));
            }
        }
        Ok((chunk, true))
    }

    /// Up to `limit` visible events beside a place, the nearest first, and where the walk ended.
    pub(super) async fn neighbours(
        &self,
        reading: &Reading,
        direction: Direction,
        place: i64,
        limit: usize,
    ) -> Result<(Vec<Shown>, PageToken)> {
        let (low, high) = match direction {
            Direction::Backwards => (i64::MIN, place),
            Direction::Forwards => (place, i64::MAX),
        };
        let (until, filter) = (self.0.log.watermark(), &EventFilter::default());
        let mut walk = Walk { reading, direction, low, high, until, sieve: Sieve::default(), filter };
        let (found, _) = self.walk(&mut walk, limit).await?;
        Ok((found, PageToken::Before(walk.edge())))
    }

    async fn places(&self, walk: &Walk<'_>, step: usize) -> Result<Vec<Place>> {
        let (pool, room, step) = (&self.0.pool, walk.reading.room.nr, i64::try_from(step).unwrap_or(i64::MAX));
        match walk.direction {
            Direction::Backwards => {
                storage::event::backwards(pool, room, (walk.high, walk.low), walk.until, &walk.sieve, step).await
            }
            Direction::Forwards => {
                storage::event::forwards(pool, room, (walk.low, walk.high), walk.until, &walk.sieve, step).await
            }
        }
    }

    pub(super) async fn sight(&self, reading: &Reading, oldest: i64) -> Result<Sight> {
        // A former member who has forgotten the room is a stranger.
        let user = reading.membership.map(|_| reading.user);
        let ask = Ask { state: reading.current.clone(), oldest };
        let sight = self.sights(user, &[ask]).await?.pop();
        sight.ok_or_else(|| storage::Error::Inconsistent("a question about visibility was not answered".to_owned()))
    }

    /// The place in the room's history that a token names: what lies before it is older.
    pub(super) async fn boundary(&self, room: RoomNr, token: PageToken) -> Result<i64> {
        Ok(match token {
            PageToken::Before(ord) => ord,
            PageToken::Synced(pos) => {
                self.last_before(&[(room, pos)]).await?.get(&room).map_or(i64::MIN, |place| place.ord + 1)
            }
        })
    }

    /// The room's state at a point of its history; where the reader may not look at that moment, at the next one at which
    /// they may, or else at the last one. A room begins with its creator in it: before that there is no state to tell, and
    /// a token from there names the beginning.
    ///
    /// # Errors
    /// [`ReadError::Forbidden`] where there is no such moment.
    pub async fn state_at(&self, reading: &Reading, at: PageToken) -> Result<StateMap, ReadError> {
        let before = self.boundary(reading.room.nr, at).await?;
        if reading.left_at.is_some_and(|left| left < before) {
            return Ok(reading.state.clone());
        }
        let (pool, until, room) = (&self.0.pool, self.0.log.watermark(), reading.room.nr);
        let all = Sieve::default();
        let mut last = storage::event::backwards(pool, room, (before, i64::MIN), until, &all, 2).await?;
        last.truncate(if last.len() < 2 { 0 } else { 1 });
        if last.is_empty() {
            last = storage::event::forwards(pool, room, (i64::MIN, i64::MAX), until, &all, 2).await?;
        }
        if let Some(place) = last.last()
            && self.sight(reading, place.ord).await?.sees(&*self.event(place.nr).await?)
        {
            return Ok(self.state(place.frame).await?.state.clone());
        }
        for direction in [Direction::Forwards, Direction::Backwards] {
            if let Some(shown) = self.neighbours(reading, direction, before, 1).await?.0.pop() {
                return Ok(self.state(shown.event.frame).await?.state.clone());
            }
        }
        Err(ReadError::Forbidden)
    }

    /// The memberships of the senders, as of the newest of the events.
    async fn senders(&self, events: &[Shown]) -> Result<Vec<Arc<StoredEvent>>> {
        let Some(newest) = events.iter().max_by_key(|shown| shown.event.ord) else { return Ok(Vec::new()) };
        let frame = self.state(newest.event.frame).await?;
        let mut seen = HashSet::new();
        let numbers: Vec<EventNr> = events
            .iter()
            .filter(|shown| seen.insert(shown.event.sender))
            .filter_map(|shown| frame.state.get(&StateKey::member(shown.event.sender)).copied())
            .collect();
        self.events(&numbers).await
    }
}

impl Walk<'_> {
    /// Moves beyond `place`.
    fn pass(&mut self, place: &Place) {
        match self.direction {
            Direction::Backwards => self.high = place.ord,
            Direction::Forwards => self.low = place.ord + 1,
        }
    }

    /// Where the walk has come to.
    fn edge(&self) -> i64 {
        match self.direction {
            Direction::Backwards => self.high,
            Direction::Forwards => self.low,
        }
    }
}
