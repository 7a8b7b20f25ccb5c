//! The event that was sent closest to a time.
//!
//! Clocks go wrong, so times in a room's history are almost sorted, not quite: the place is found by halving, and the
//! events around it are compared. That needs no index that every message would have to be put into.

use super::{
    Rooms,
    access::{ReadError, Reading},
    messages::Direction,
    render::Shown,
};
use crate::storage::{self, commit::ORD_STEP};

/// So many events on each side of the place are compared.
const AROUND: usize = 40;

impl Rooms {
    /// The visible event closest to `ts` that was sent then or later (`Forwards`), or then or earlier.
    ///
    /// # Errors
    /// [`ReadError::NotFound`] where there is none.
    pub async fn closest(&self, reading: &Reading, ts: i64, direction: Direction) -> Result<Shown, ReadError> {
        let place = self.place_of(reading, ts).await?;
        let (mut around, _) = self.neighbours(reading, Direction::Backwards, place, AROUND).await?;
        around.extend(self.neighbours(reading, Direction::Forwards, place, AROUND).await?.0);
        let key = |shown: &Shown| (shown.event.ts, shown.event.ord);
        let found = match direction {
            Direction::Forwards => around.into_iter().filter(|shown| shown.event.ts >= ts).min_by_key(key),
            Direction::Backwards => around.into_iter().filter(|shown| shown.event.ts <= ts).max_by_key(key),
        };
        found.ok_or(ReadError::NotFound)
    }

    /// About where the first event stands that was sent at `ts` or later.
    async fn place_of(&self, reading: &Reading, ts: i64) -> storage::Result<i64> {
        let (pool, room) = (&self.0.pool, reading.room.nr);
        let Some((mut low, mut high)) = storage::event::extent(pool, room).await? else { return Ok(0) };
        // The place lies in `low..=high`; one past the last event where all were sent earlier.
        high += 1;
        while high - low >= ORD_STEP {
            let middle = low + (high - low) / 2;
            match storage::event::time_at(pool, room, middle).await? {
                Some((ord, time)) if ord < high && time < ts => low = ord + 1,
                _ => high = middle,
            }
        }
        Ok(high)
    }
}
