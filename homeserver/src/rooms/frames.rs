//! Any state of any room by its frame's number.

use std::sync::Arc;

use sqlx::PgPool;

use super::{Rooms, state::Frame};
use crate::{
    cache::Cache,
    storage::{self, FrameNr, Result},
};

/// Frames by number. A frame never changes, so nothing here is ever dropped for being stale.
#[derive(Clone)]
pub(super) struct Frames(Cache<FrameNr, Arc<Frame>>);

/// In bytes, counted as if frames shared a good part of their structure, as those of one room do.
const CAPACITY: u64 = 32 << 20;

impl Frames {
    pub fn new() -> Self {
        let weigh = |_: &FrameNr, frame: &Arc<Frame>| u32::try_from(2048 + frame.state.len() * 8).unwrap_or(u32::MAX);
        Self(Cache::weighed(CAPACITY, weigh))
    }

    pub fn insert(&self, frame: &Arc<Frame>) {
        self.0.insert(frame.nr, Arc::clone(frame));
    }

    /// The frames with the given numbers, in their order; one query at most.
    pub async fn load(&self, pool: &PgPool, numbers: &[FrameNr]) -> Result<Vec<Arc<Frame>>> {
        let mut found: Vec<Option<Arc<Frame>>> = numbers.iter().map(|nr| self.cached(*nr)).collect();
        let mut missing: Vec<FrameNr> =
            numbers.iter().zip(&found).filter(|(_, frame)| frame.is_none()).map(|(nr, _)| *nr).collect();
        missing.sort_unstable();
        missing.dedup();
        if !missing.is_empty() {
            let mut rows = storage::frame::chains(pool, &missing).await?.into_iter().peekable();
            for nr in missing {
                let chain = std::iter::from_fn(|| rows.next_if(|row| row.wanted == nr));
                let frame = Arc::new(Frame::from_rows(nr, chain)?);
                self.insert(&frame);
                for place in numbers.iter().zip(&mut found).filter(|(wanted, _)| **wanted == nr) {
                    *place.1 = Some(Arc::clone(&frame));
                }
            }
        }
        Ok(found.into_iter().flatten().collect())
    }

    fn cached(&self, nr: FrameNr) -> Option<Arc<Frame>> {
        if nr == FrameNr(0) { Some(Arc::default()) } else { self.0.get(&nr) }
    }
}

impl Rooms {
    /// The state with the number `frame`.
    ///
    /// # Errors
    /// The database's own, or that there is no such frame.
    pub async fn state(&self, frame: FrameNr) -> Result<Arc<Frame>> {
        let frames = self.0.caches.frames.load(&self.0.pool, &[frame]).await?;
        frames.into_iter().next().ok_or_else(|| storage::Error::Inconsistent(format!("frame {} is missing", frame.0)))
    }

    /// The states with the numbers `frames`, in their order, in one query at most.
    ///
    /// # Errors
    /// The database's own, or that there is no such frame.
    pub async fn state_many(&self, frames: &[FrameNr]) -> Result<Vec<Arc<Frame>>> {
        self.0.caches.frames.load(&self.0.pool, frames).await
    }
}
