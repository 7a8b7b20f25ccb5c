//! Limits on what one user or address may ask: a token bucket for each, in this node's memory.
//!
//! **Invariant:** bounded; an entry that is full again says nothing and may go.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use super::ApiError;
use crate::{
    config::{Rate, RateLimits},
    storage::UserNr,
};

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
    /// Fresh tokens for refresh tokens, by address.
    Refresh,
    /// Downloads without an access token, by address.
    OpenDownloads,
    /// The directory without an access token, by address.
    OpenDirectory,
    /// By user, as all that follow: see [`super::limited_routes`].
    Messages,
    Rooms,
    Joins,
    Invites,
    Profile,
    Uploads,
    Downloads,
    Previews,
    Search,
    Reports,
    /// Whatever else changes something.
    Changes,
}

impl Limited {
    fn rate(self, rates: &RateLimits) -> Option<Rate> {
        match self {
            Self::LoginFromAddress => rates.login,
            Self::WrongPassword => rates.wrong_password,
            Self::Registration => rates.registration,
            Self::Lookup => rates.lookup,
            Self::Refresh => rates.refresh,
            Self::OpenDownloads => rates.open_downloads,
            Self::OpenDirectory => rates.open_directory,
            Self::Messages => rates.messages,
            Self::Rooms => rates.rooms,
            Self::Joins => rates.joins,
            Self::Invites => rates.invites,
            Self::Profile => rates.profile,
            Self::Uploads => rates.uploads,
            Self::Downloads => rates.downloads,
            Self::Previews => rates.previews,
            Self::Search => rates.search,
            Self::Reports => rates.reports,
            Self::Changes => rates.changes,
        }
    }
}

/// Who is counted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Whom {
    User(UserNr),
    /// A name that may be nobody's.
    Name(Box<str>),
    Address(IpAddr),
}

impl From<UserNr> for Whom {
    fn from(user: UserNr) -> Self {
        Self::User(user)
    }
}

impl From<&str> for Whom {
    fn from(name: &str) -> Self {
        Self::Name(name.into())
    }
}

impl From<IpAddr> for Whom {
    fn from(address: IpAddr) -> Self {
        // Whoever has one address of IPv6 has the 2^64 beside it.
        Self::Address(match address {
            IpAddr::V6(six) => IpAddr::V6(Ipv6Addr::from_bits(six.to_bits() >> 64 << 64)),
            four => four,
        })
    }
}

/// The buckets of this node, or none where limits are off. Cheap to clone.
#[derive(Clone)]
pub struct Limits(Option<Arc<Inner>>);

struct Inner {
    rates: RateLimits,
    buckets: Mutex<HashMap<(Limited, Whom), Bucket>>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    left: f64,
    at: Instant,
}

/// Beyond this many buckets the full ones go, then those that are half full, and then all.
const CAPACITY: usize = 100_000;

impl Limits {
    /// Limits, if they are enabled.
    pub fn new(rates: &RateLimits) -> Self {
        Self(rates.enabled.then(|| Arc::new(Inner { rates: rates.clone(), buckets: Mutex::default() })))
    }

    /// Takes one from the bucket of `whom`.
    ///
    /// # Errors
    /// `M_LIMIT_EXCEEDED` where it is empty.
    pub fn take(&self, what: Limited, whom: impl Into<Whom>) -> Result<(), ApiError> {
        self.take_at(what, whom.into(), 1.0, Instant::now())
    }

    /// Gives back what was taken for nothing.
    pub fn give_back(&self, what: Limited, whom: impl Into<Whom>) {
        let Some(inner) = &self.0 else { return };
        let Some(rate) = what.rate(&inner.rates) else { return };
        let mut buckets = inner.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = buckets.get_mut(&(what, whom.into())) {
            bucket.left = (bucket.left + 1.0).min(f64::from(rate.burst));
        }
    }

    /// Takes `count` from the bucket of `whom`. More than it ever holds are given from a full one, and it is in debt then.
    ///
    /// # Errors
    /// `M_LIMIT_EXCEEDED` where it holds too little.
    pub fn take_many(&self, what: Limited, whom: impl Into<Whom>, count: usize) -> Result<(), ApiError> {
        match u32::try_from(count) {
            Ok(0) => Ok(()),
            count => self.take_at(what, whom.into(), f64::from(count.unwrap_or(u32::MAX)), Instant::now()),
        }
    }

    fn take_at(&self, what: Limited, whom: Whom, count: f64, now: Instant) -> Result<(), ApiError> {
        let Some(inner) = &self.0 else { return Ok(()) };
        let Some(rate) = what.rate(&inner.rates) else { return Ok(()) };
        let mut buckets = inner.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        for share in [1.0, 0.5, 0.0] {
            if buckets.len() >= CAPACITY {
                buckets.retain(|(what, _), bucket| {
                    what.rate(&inner.rates)
                        .is_some_and(|rate| bucket.left_at(rate, now) < f64::from(rate.burst) * share)
                });
            }
        }
        let bucket = buckets.entry((what, whom)).or_insert(Bucket { left: f64::from(rate.burst), at: now });
        let left = bucket.left_at(rate, now);
        let wanted = count.clamp(1.0, f64::from(rate.burst).max(1.0));
        if left < wanted {
            return Err(ApiError::limited(rate.refill.mul_f64(wanted - left)));
        }
        *bucket = Bucket { left: left - count, at: now };
        Ok(())
    }
}

impl Bucket {
    fn left_at(&self, rate: Rate, now: Instant) -> f64 {
        let passed = now.saturating_duration_since(self.at);
        (self.left + passed.as_secs_f64() / rate.refill.as_secs_f64()).min(f64::from(rate.burst))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn limits() -> Limits {
        let rate = Some(Rate { burst: 10, refill: Duration::from_secs(6) });
        Limits::new(&RateLimits { enabled: true, wrong_password: rate, ..RateLimits::default() })
    }

    #[test]
    fn a_bucket_empties_and_fills_again() {
        let limits = limits();
        let now = Instant::now();
        let take = |key: &str, now| limits.take_at(Limited::WrongPassword, key.into(), 1.0, now).is_ok();
        assert!((0..10).all(|_| take("a", now)));
        assert!(!take("a", now));
        assert!(take("b", now));
        assert!(!take("a", now + Duration::from_secs(5)));
        assert!(take("a", now + Duration::from_secs(7)));
        assert!(!take("a", now + Duration::from_secs(7)));
    }

    #[test]
    fn what_is_given_back_can_be_taken_again() {
        let limits = limits();
        let take = || limits.take(Limited::WrongPassword, "a").is_ok();
        assert!((0..10).all(|_| take()) && !take());
        (0..3).for_each(|_| limits.give_back(Limited::WrongPassword, "a"));
        assert!((0..3).all(|_| take()) && !take());
        // Never more than there was.
        limits.give_back(Limited::WrongPassword, "b");
        assert!((0..20).filter(|_| limits.take(Limited::WrongPassword, "c").is_ok()).count() == 10);
    }

    #[test]
    fn many_at_once_are_many() {
        let limits = limits();
        let now = Instant::now();
        let take = |count, now| limits.take_at(Limited::WrongPassword, "a".into(), count, now).is_ok();
        assert!(take(4.0, now) && !take(7.0, now) && take(6.0, now));
        // More than the bucket holds are given once it is full, and paid for afterwards.
        let full = now + Duration::from_secs(60);
        assert!(!take(25.0, full - Duration::from_secs(1)) && take(25.0, full));
        assert!(!take(1.0, full + Duration::from_secs(95)) && take(1.0, full + Duration::from_secs(97)));
    }

    #[test]
    fn without_a_limit_nothing_is_refused() {
        let off = Limits::new(&RateLimits::default());
        assert!((0..1000).all(|_| off.take(Limited::Registration, "a").is_ok()));
        assert!((0..1000).all(|_| limits().take(Limited::Registration, "a").is_ok()));
    }

    #[test]
    fn neighbours_in_a_network_of_ipv6_are_one() {
        let whom = |text: &str| Whom::from(text.parse::<IpAddr>().unwrap());
        assert_eq!(whom("2001:db8::1"), whom("2001:db8::2:3"));
        assert_ne!(whom("2001:db8::1"), whom("2001:db8:0:1::1"));
        assert_ne!(whom("192.0.2.1"), whom("192.0.2.2"));
    }

    #[test]
    fn a_flood_of_names_is_bounded() {
        let limits = limits();
        for n in 0..CAPACITY + 10 {
            limits.take(Limited::WrongPassword, n.to_string().as_str()).unwrap();
        }
        assert!(limits.0.unwrap().buckets.lock().unwrap().len() <= CAPACITY);
    }
}
