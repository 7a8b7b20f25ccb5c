//! Pauses before something is tried again: each longer than the one before, and none the same for two who wait.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

/// The pauses of one who tries again and again.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    next: Duration,
    longest: Duration,
}

impl Backoff {
    /// Pauses of about `first`, then twice that, and so on up to `longest`.
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, next: first, longest }
    }

    /// The next pause.
    pub fn pause(&mut self) -> Duration {
        let pause = spread(self.next);
        self.next = (self.next * 2).min(self.longest);
        pause
    }

    /// Waits for the next pause.
    pub async fn wait(&mut self) {
        tokio::time::sleep(self.pause()).await;
    }

    /// Begins with the first pause again: it went well for a while.
    pub fn reset(&mut self) {
        self.next = self.first;
    }
}

/// Between half of `longest` and the whole: those who failed together don't come again together.
pub fn spread(longest: Duration) -> Duration {
    // Any differing number will do, and a fresh hasher has one.
    let share = RandomState::new().hash_one(longest) % 1000;
    longest / 2 + longest * u32::try_from(share).unwrap_or(0) / 2000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_differ() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_millis(350));
        for longest in [100, 200, 350, 350] {
            let pause = backoff.pause().as_millis();
            assert!((longest / 2..=longest).contains(&pause), "{pause} ms of {longest}");
        }
        backoff.reset();
        assert!(backoff.pause() <= Duration::from_millis(100));
        let pauses: std::collections::HashSet<_> = (0..20).map(|_| spread(Duration::from_secs(60))).collect();
        assert!(pauses.len() > 1, "all wait for {pauses:?}");
    }
}
