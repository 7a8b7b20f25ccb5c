//! State frames: each a delta against the frame whose count is its own minus its lowest bit.

use sqlx::PgPool;

use super::{FrameNr, Result};

/// A frame on the way from the empty state to a wanted one.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Row {
    /// The frame that was asked for.
    pub wanted: FrameNr,
    pub nr: FrameNr,
    /// How many frames of the room there are up to this one.
    pub n: i32,
    pub delta: Vec<u8>,
}

/// For each of `wanted` the frames whose deltas, applied in this order, give its state.
pub async fn chains(pool: &PgPool, wanted: &[FrameNr]) -> Result<Vec<Row>> {
    let sql = "with recursive chain as (
                   select f.nr as wanted, f.nr, f.n, f.base, f.delta from frame f where f.nr = any($1)
                   union all
                   select c.wanted, f.nr, f.n, f.base, f.delta from chain c join frame f on f.nr = c.base
               )
               select wanted, nr, n, delta from chain order by wanted, n";
    Ok(sqlx::query_as(sql).bind(wanted).fetch_all(pool).await?)
}
