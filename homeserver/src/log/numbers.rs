//! Fresh numbers, from blocks that are this node's alone.

use sqlx::PgPool;
use tokio::sync::Mutex;

use crate::storage::{self, EventNr, FrameNr, RoomNr};

const BLOCK: i64 = 1024;

pub(super) struct Numbers {
    pool: PgPool,
    /// Next number and end of the block.
    block: Mutex<(i64, i64)>,
}

/// Numbers that nobody else has. Each comes out once.
#[derive(Debug)]
pub struct Taken(Vec<std::ops::Range<i64>>);

impl Numbers {
    pub(super) fn new(pool: PgPool) -> Self {
        Self { pool, block: Mutex::new((0, 0)) }
    }

    pub(super) async fn take(&self, count: usize) -> storage::Result<Taken> {
        let mut wanted = i64::try_from(count).unwrap_or(i64::MAX);
        let mut ranges = Vec::with_capacity(1);
        let mut block = self.block.lock().await;
        while wanted > 0 {
            if block.0 == block.1 {
                let first = storage::slice::number_block(&self.pool).await?;
                *block = (first, first + BLOCK);
            }
            let take = wanted.min(block.1 - block.0);
            ranges.push(block.0..block.0 + take);
            block.0 += take;
            wanted -= take;
        }
        Ok(Taken(ranges))
    }
}

impl Taken {
    fn next(&mut self) -> Option<i64> {
        let range = self.0.iter_mut().find(|r| !r.is_empty())?;
        range.next()
    }

    /// The next number, for an event. `None` when all that were taken are used.
    pub fn event(&mut self) -> Option<EventNr> {
        self.next().map(EventNr)
    }

    /// The next number, for a frame.
    pub fn frame(&mut self) -> Option<FrameNr> {
        self.next().map(FrameNr)
    }

    /// The next number, for a room.
    pub fn room(&mut self) -> Option<RoomNr> {
        self.next().map(RoomNr)
    }
}
