//! How much account data a user keeps: asked of the database once a minute and where the answer decides, counted on between.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use moka::sync::Cache;
use sqlx::PgPool;

use super::account_data::{MOST_BYTES, MOST_PIECES};
use crate::storage::{self, UserNr, commit::AccountDataWrite};

/// What is counted, by user. Of a piece that takes the place of another only the new one is seen here, so that this is never too
/// little, but for what other nodes write within the minute.
pub(super) struct Usage(Cache<UserNr, Arc<Counted>>);

const COUNTED_ON: Duration = Duration::from_secs(60);

/// Pieces and bytes.
struct Counted {
    pieces: AtomicI64,
    bytes: AtomicI64,
}

impl Counted {
    /// Adds a piece and returns what there is then.
    fn add(&self, bytes: i64) -> (i64, i64) {
        (self.pieces.fetch_add(1, Ordering::Relaxed) + 1, self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes)
    }
}

impl Default for Usage {
    fn default() -> Self {
        Self(Cache::builder().max_capacity(20_000).time_to_live(COUNTED_ON).build())
    }
}

impl Usage {
    /// Whether the user may keep this besides what they keep; then it is counted.
    pub async fn admits(&self, pool: &PgPool, write: &AccountDataWrite) -> storage::Result<bool> {
        let bytes = i64::try_from(write.kind.len() + write.json.len()).unwrap_or(i64::MAX);
        let fits = |(pieces, bytes): (i64, i64)| pieces <= MOST_PIECES && bytes <= MOST_BYTES;
        if let Some(counted) = self.0.get(&write.user)
            && fits(counted.add(bytes))
        {
            return Ok(true);
        }
        // What this takes the place of does not count.
        let others = storage::account_data::usage(pool, write.user, write.room, &write.kind).await?;
        let counted = Counted { pieces: others.0.into(), bytes: others.1.into() };
        let admitted = fits(counted.add(bytes)) || &*write.json == "{}";
        if admitted {
            self.0.insert(write.user, Arc::new(counted));
        } else {
            self.0.invalidate(&write.user);
        }
        Ok(admitted)
    }
}
