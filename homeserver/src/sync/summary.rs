//! `summary`: how many are in a room, and who stands for it where it has no name.

use std::{collections::HashMap, sync::Arc};

use super::Sync;
use crate::{
    cache::Cache,
    storage::{self, FrameNr, Result, RoomNr, UserNr, sync::Summary},
};

/// Heroes at most.
const HEROES: usize = 5;

/// Summaries by the state that they are of, with heroes or without. States never change, so nothing here is ever stale.
pub(super) struct Summaries(Cache<(FrameNr, bool), Arc<Summary>>);

impl Summaries {
    pub fn new() -> Self {
        Self(Cache::new(20_000))
    }
}

/// A room whose summary is wanted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ask {
    pub room: RoomNr,
    pub frame: FrameNr,
    /// The room has neither name nor alias.
    pub heroes: bool,
}

impl Sync {
    /// The summaries, in one query at most.
    ///
    /// The counts are the newest that the database has: where they are newer than the frame, the next sync brings the events
    /// that made them so.
    ///
    /// # Errors
    /// The database's own.
    pub(super) async fn summaries(&self, asks: &[Ask]) -> Result<HashMap<RoomNr, Arc<Summary>>> {
        let mut found = HashMap::with_capacity(asks.len());
        let mut missing = HashMap::new();
        for ask in asks {
            match self.0.summaries.0.get(&(ask.frame, ask.heroes)) {
                Some(summary) => drop(found.insert(ask.room, summary)),
                None => drop(missing.insert(ask.room, *ask)),
            }
        }
        if !missing.is_empty() {
            let asked: Vec<(RoomNr, bool)> = missing.values().map(|ask| (ask.room, ask.heroes)).collect();
            for summary in storage::sync::summaries(&self.0.pool, &asked).await? {
                let summary = Arc::new(summary);
                if let Some(ask) = missing.get(&summary.room) {
                    self.0.summaries.0.insert((ask.frame, ask.heroes), Arc::clone(&summary));
                }
                found.insert(summary.room, summary);
            }
        }
        Ok(found)
    }
}

/// Who stands for the room in the eyes of `reader`.
pub(super) fn heroes(summary: &Summary, reader: UserNr) -> Vec<UserNr> {
    let others = |users: &[UserNr]| users.iter().copied().filter(|user| *user != reader).take(HEROES).collect();
    let present: Vec<UserNr> = others(&summary.present);
    if present.is_empty() { others(&summary.former) } else { present }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::Sym;

    #[test]
    fn heroes_are_others_and_present_if_anybody_is() {
        let users = |range: std::ops::Range<i32>| range.map(Sym).collect::<Vec<_>>();
        let summary = |present, former| Summary { room: RoomNr(1), joined: 1, invited: 0, present, former };
        assert_eq!(heroes(&summary(users(1..7), vec![]), Sym(3)), [1, 2, 4, 5, 6].map(Sym));
        assert_eq!(heroes(&summary(users(1..7), vec![]), Sym(9)), [1, 2, 3, 4, 5].map(Sym));
        assert_eq!(heroes(&summary(users(1..2), users(5..7)), Sym(1)), [5, 6].map(Sym));
    }
}
