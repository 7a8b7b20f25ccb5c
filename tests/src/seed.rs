//! Seeded chance: a failed run can be repeated.
//!
//! **Invariant:** every draw comes from the printed seed; `ROOST_SEED` sets it.

use std::time::{SystemTime, UNIX_EPOCH};

/// SplitMix64.
#[derive(Clone, Debug)]
pub struct Seed(u64);

impl Seed {
    /// From `ROOST_SEED`, or from the clock; printed.
    #[must_use]
    pub fn announced(test: &str) -> Self {
        let from_clock = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |it| it.subsec_nanos().into());
        let seed = std::env::var("ROOST_SEED").ok().and_then(|it| it.parse().ok()).unwrap_or_else(from_clock);
        println!("{test}: ROOST_SEED={seed}");
        Self(seed)
    }

    /// An independent stream.
    #[must_use]
    pub fn branch(&mut self) -> Self {
        Self(self.draw())
    }

    /// The next 64 bits.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.draw() % end.max(1) as u64).unwrap_or_default()
    }
}
