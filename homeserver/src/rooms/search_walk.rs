//! The walk back through the log, from the newest event that holds the words that are looked for to older ones.
//!
//! It goes stretch by stretch: narrow ones where there is much to find, ever wider ones where there is little. So a question
//! costs about the same whatever its words and in however many rooms.
//!
//! **Invariant:** a walk looks at a bounded number of stretches and of events; where that ends it, it says how far it came.

use std::{collections::HashSet, sync::Arc};

use super::{
    Rooms, StoredEvent,
    filter::EventFilter,
    search_token::{Candidate, Walked},
};
use crate::storage::{
    self, EventNr, Result, RoomNr, Sym, UserNr,
    event::Sieve,
    search::{Holding, NARROW, WIDER},
};

/// So many stretches one walk looks at, and so many entries; of them so many events are loaded in one step.
const STRETCHES: usize = 64;
const ENTRIES: usize = 20_000;
const STEP: usize = 128;
/// Of a stretch that holds more than this a narrower one is looked at instead.
const CROWD: usize = 1000;
/// So often a stretch becomes wider.
const WIDEST: u32 = 4;

/// What is looked for.
pub(super) struct WordsAsk<'a> {
    pub user: UserNr,
    /// All of them occur.
    pub words: &'a [String],
    pub rooms: &'a HashSet<RoomNr>,
    pub kinds: &'a [Sym],
    pub sieve: &'a Sieve,
    pub filter: &'a EventFilter,
    /// Only what stands at `floor` or later, and before `before`.
    pub floor: i64,
    pub before: i64,
    /// The walk ends when so many are found.
    pub want: usize,
}

impl WordsAsk<'_> {
    fn takes(&self, event: &Holding) -> bool {
        let listed = |list: &Option<Vec<Sym>>, it: Sym| list.as_ref().is_none_or(|list| list.contains(&it));
        !event.redacted
            && (self.floor..self.before).contains(&event.pos.0)
            && self.rooms.contains(&event.room)
            && self.kinds.contains(&event.kind)
            && listed(&self.sieve.kinds, event.kind)
            && !self.sieve.not_kinds.contains(&event.kind)
            && listed(&self.sieve.senders, event.sender)
            && !self.sieve.not_senders.contains(&event.sender)
    }
}

impl Rooms {
    /// The newest events that hold the words and that the user may see and wants.
    pub(super) async fn walk_words(&self, ask: &WordsAsk<'_>) -> Result<Walked<Arc<StoredEvent>>> {
        let (mut high, mut level) = (up(ask.before), 0);
        let (mut found, mut stretches, mut entries) = (Vec::new(), 0, 0);
        // Nothing is found in no room.
        while high > ask.floor && !ask.rooms.is_empty() {
            if stretches >= STRETCHES || entries >= ENTRIES {
                return Ok(Walked { found, edge: high.min(ask.before) });
            }
            stretches += 1;
            let low = low(high, level).max(down(ask.floor, NARROW));
            let most = if high - low > NARROW { CROWD } else { usize::try_from(NARROW).unwrap_or(CROWD) };
            let asked = i64::try_from(most).unwrap_or(i64::MAX).saturating_add(1);
            let mut holding = storage::search::holding(&self.0.pool, ask.words, ask.rooms, (low, high), asked).await?;
            entries += holding.len();
            if holding.len() > most && level > 0 {
                level -= 1;
                continue;
            }
            holding.retain(|event| ask.takes(event));
            holding.sort_unstable_by_key(|event| std::cmp::Reverse(event.pos));
            for step in holding.chunks(STEP) {
                found.extend(self.wanted(ask, step).await?);
                if let Some(last) = step.last().filter(|_| found.len() >= ask.want) {
                    return Ok(Walked { found, edge: last.pos.0 });
                }
            }
            high = low;
            level = (level + 1).min(WIDEST);
        }
        Ok(Walked { found, edge: ask.floor })
    }

    /// Those that the user may see and wants.
    async fn wanted(&self, ask: &WordsAsk<'_>, holding: &[Holding]) -> Result<Vec<Candidate<Arc<StoredEvent>>>> {
        let events = self.events(&holding.iter().map(|it| it.nr).collect::<Vec<EventNr>>()).await?;
        let mut seen = self.seen(ask.user, events).await?;
        let place = |it: &Holding| {
            // What an erased user said has no words left for whoever came later, and is not to be found by them.
            let event = seen.remove(&it.nr).filter(|event| ask.filter.matches(event) && event.content() != "{}")?;
            Some(Candidate { pos: it.pos.0, rank: it.rank, it: event })
        };
        Ok(holding.iter().filter_map(place).collect())
    }
}

/// The multiple of [`NARROW`] at `pos` or above it.
fn up(pos: i64) -> i64 {
    down(pos.saturating_add(NARROW - 1), NARROW)
}

/// The multiple of `width` at `pos` or below it.
fn down(pos: i64, width: i64) -> i64 {
    pos - pos.rem_euclid(width)
}

/// Where a stretch that ends at `high` begins: with one of the index's own of this level, so that few keys name it.
fn low(high: i64, level: u32) -> i64 {
    down(high - 1, NARROW * WIDER.pow(level)).max(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_lead_to_the_beginning_without_gaps_and_begin_where_the_index_has_one() {
        for (high, level, wanted) in [
            (NARROW, 0, 0),
            (5 * NARROW, 0, 4 * NARROW),
            (5 * NARROW, 1, 0),
            (17 * NARROW, 1, 16 * NARROW),
            (16 * NARROW, 1, 8 * NARROW),
            (NARROW, WIDEST, 0),
            (9 << 25, WIDEST, 8 << 25),
        ] {
            assert_eq!(low(high, level), wanted, "{high} {level}");
        }
        assert_eq!((up(0), up(1), up(NARROW), down(NARROW - 1, NARROW)), (0, NARROW, NARROW, 0));
    }
}
