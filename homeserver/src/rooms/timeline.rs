//! The newest part of rooms' logs, as sync shows it: from memory as a rule, in one query for all rooms otherwise.

use std::{collections::HashMap, sync::Arc};

use super::{Rooms, StoredEvent};
use crate::storage::{
    self, EventNr, Pos, Result, RoomNr,
    event::{Place, Tail},
};

/// The newest events of a room after some position.
#[derive(Debug, Clone, Default)]
pub struct Timeline {
    /// Oldest first.
    pub events: Vec<Arc<StoredEvent>>,
    /// There are more, older ones.
    pub limited: bool,
}

impl Rooms {
    /// For each of `tails`, in their order, the newest events after its `since` and up to `until`.
    ///
    /// `until` is the watermark that the caller took before, or an older one.
    ///
    /// # Errors
    /// The database's own.
    pub async fn timelines(&self, tails: &[Tail], until: Pos) -> Result<Vec<Timeline>> {
        let places = self.recent_places(tails, until).await?;
        let numbers: Vec<EventNr> = places
            .iter()
            .zip(tails)
            .flat_map(|(places, tail)| places.iter().take(room_for(tail)).rev().map(|p| p.nr))
            .collect();
        let mut events = self.events(&numbers).await?.into_iter();
        Ok(places
            .iter()
            .zip(tails)
            .map(|(places, tail)| {
                let most = room_for(tail);
                Timeline {
                    events: events.by_ref().take(places.len().min(most)).collect(),
                    limited: places.len() > most,
                }
            })
            .collect())
    }

    /// As [`Rooms::timelines`], but only where the events stand, newest first, and one more than the limit where there is one.
    async fn recent_places(&self, tails: &[Tail], until: Pos) -> Result<Vec<Vec<Place>>> {
        let recent = &self.0.caches.events.recent;
        let mut found: Vec<Option<Vec<Place>>> =
            tails.iter().map(|t| recent.newest(t.room, t.since, until, room_for(t) + 1).map(|f| f.places)).collect();
        let (missing, asked): (Vec<usize>, Vec<Tail>) = tails
            .iter()
            .enumerate()
            .filter(|(i, _)| found[*i].is_none())
            .map(|(i, t)| (i, Tail { limit: t.limit.saturating_add(1).max(SEED), ..*t }))
            .unzip();
        if !missing.is_empty() {
            let mut by_room: HashMap<RoomNr, Vec<Place>> = HashMap::with_capacity(missing.len());
            for place in storage::event::newest(&self.0.pool, &asked, until).await? {
                by_room.entry(place.room).or_default().push(place);
            }
            for (i, tail) in missing.into_iter().zip(&asked) {
                let mut places = by_room.remove(&tail.room).unwrap_or_default();
                let whole = i64::try_from(places.len()).unwrap_or(i64::MAX) < tail.limit;
                let floor = if whole { tail.since } else { places.last().map_or(tail.since, |p| Pos(p.pos.0 - 1)) };
                recent.seed(tail.room, &places, floor, until);
                places.truncate(room_for(&tails[i]) + 1);
                found[i] = Some(places);
            }
        }
        Ok(found.into_iter().map(Option::unwrap_or_default).collect())
    }

    /// For each of `points` where the last event of the room up to the position stands; rooms without one are left out.
    /// Its frame is the room's state at the position.
    ///
    /// # Errors
    /// The database's own.
    pub async fn last_before(&self, points: &[(RoomNr, Pos)]) -> Result<HashMap<RoomNr, Place>> {
        let recent = &self.0.caches.events.recent;
        let mut found = HashMap::with_capacity(points.len());
        let mut missing = Vec::new();
        for (room, pos) in points {
            match recent.last_before(*room, *pos) {
                Some(place) => drop(found.insert(*room, place)),
                None => missing.push((*room, *pos)),
            }
        }
        if !missing.is_empty() {
            let read = storage::event::last_before(&self.0.pool, &missing).await?;
            found.extend(read.into_iter().map(|place| (place.room, place)));
        }
        Ok(found)
    }
}

/// So many are read at least, so that the next sync finds them in memory.
const SEED: i64 = 32;

fn room_for(tail: &Tail) -> usize {
    usize::try_from(tail.limit).unwrap_or(0)
}
