//! Limits on what one user or address may ask: a token bucket for each, in this node's memory.
//!
//! **Invariant:** bounded; an entry that is full again says nothing and may go.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::ApiError;

/// What is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Limited {
    /// Attempts to log in, by address.
    LoginFromAddress,
    /// Wrong passwords, by user: also those of user-interactive authentication.
    WrongPassword,
    /// Requests to make an account, by address.
    Registration,
    /// Looking up names and registration tokens, by address.
    Lookup,
}

impl Limited {
    /// How many at once, and how long until one more.
    fn bucket(self) -> (f64, Duration) {
        match self {
            Self::LoginFromAddress => (30.0, Duration::from_secs(2)),
            Self::WrongPassword => (10.0, Duration::from_secs(6)),
            Self::Registration => (30.0, Duration::from_secs(4)),
            Self::Lookup => (60.0, Duration::from_secs(1)),
        }
    }
}

/// The buckets of this node, or none where limits are off. Cheap to clone.
#[derive(Clone)]
pub struct Limits(Option<Arc<Mutex<Buckets>>>);

/// By what is limited, and whom.
type Buckets = HashMap<(Limited, Box<str>), Bucket>;

#[derive(Debug, Clone, Copy)]
struct Bucket {
    left: f64,
    at: Instant,
}

/// Beyond this many buckets the full ones go, and then all.
const CAPACITY: usize = 100_000;

impl Limits {
    /// Limits, if they are enabled.
    pub fn new(enabled: bool) -> Self {
        Self(enabled.then(Arc::default))
    }

    /// Takes one from the bucket of `key`.
    ///
    /// # Errors
    /// `M_LIMIT_EXCEEDED` where it is empty.
    pub fn take(&self, what: Limited, key: &str) -> Result<(), ApiError> {
        self.take_at(what, key, 1.0, Instant::now())
    }

    /// Whether the bucket of `key` holds anything, without taking.
    ///
    /// # Errors
    /// `M_LIMIT_EXCEEDED` where it is empty.
    pub fn check(&self, what: Limited, key: &str) -> Result<(), ApiError> {
        self.take_at(what, key, 0.0, Instant::now())
    }

    fn take_at(&self, what: Limited, key: &str, count: f64, now: Instant) -> Result<(), ApiError> {
        let Some(buckets) = &self.0 else { return Ok(()) };
        let mut buckets = buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= CAPACITY {
            buckets.retain(|(what, _), bucket| bucket.left_at(*what, now) < what.bucket().0);
            if buckets.len() >= CAPACITY {
                buckets.clear();
            }
        }
        let (burst, refill) = what.bucket();
        let bucket = buckets.entry((what, key.into())).or_insert(Bucket { left: burst, at: now });
        let left = bucket.left_at(what, now);
        if left < 1.0 {
            return Err(ApiError::limited(refill.mul_f64(1.0 - left)));
        }
        *bucket = Bucket { left: left - count, at: now };
        Ok(())
    }
}

impl Bucket {
    fn left_at(&self, what: Limited, now: Instant) -> f64 {
        let (burst, refill) = what.bucket();
        let passed = now.saturating_duration_since(self.at);
        (self.left + passed.as_secs_f64() / refill.as_secs_f64()).min(burst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_empties_and_fills_again() {
        let limits = Limits::new(true);
        let now = Instant::now();
        let take = |key: &str, now| limits.take_at(Limited::WrongPassword, key, 1.0, now).is_ok();
        assert!((0..10).all(|_| take("a", now)));
        assert!(!take("a", now));
        assert!(take("b", now));
        assert!(!take("a", now + Duration::from_secs(5)));
        assert!(take("a", now + Duration::from_secs(7)));
        assert!(!take("a", now + Duration::from_secs(7)));
    }

    #[test]
    fn without_limits_nothing_is_refused() {
        let limits = Limits::new(false);
        assert!((0..1000).all(|_| limits.take(Limited::Registration, "a").is_ok()));
    }
}
