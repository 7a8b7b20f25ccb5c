//! How often a user's device list is told to those who share rooms: a few times at once, then once a moment. What comes within
//! a moment waits for its end and goes in one commit, so that it is told once.

use std::{
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use moka::sync::Cache;

use crate::{
    log,
    storage::{UserNr, user_change::Became},
};

/// So many are told without a wait: whoever logs in, uploads keys and signs them is at it several times.
const AT_ONCE: u32 = 8;
const MOMENT: Duration = Duration::from_secs(1);

/// Who told lately. Bounded; whoever is forgotten begins anew.
pub struct Moments {
    /// When the next one may be told, were each told once a moment.
    next: Cache<UserNr, Arc<Mutex<Instant>>>,
}

impl Default for Moments {
    fn default() -> Self {
        Self { next: Cache::builder().max_capacity(20_000).time_to_idle(MOMENT * (AT_ONCE + 1)).build() }
    }
}

impl Moments {
    /// Does what changes the device list of `user` when it may be told. What changed nothing does not count.
    ///
    /// # Errors
    /// What `change` says.
    pub async fn tell<F: Future<Output = Result<Became, log::Error>>>(
        &self,
        user: UserNr,
        change: impl FnOnce() -> F,
    ) -> Result<Became, log::Error> {
        let next = self.next.get(&user);
        if let Some(next) = &next {
            let due = *next.lock().unwrap_or_else(PoisonError::into_inner);
            tokio::time::sleep_until(due.checked_sub(MOMENT * AT_ONCE).unwrap_or(due).into()).await;
        }
        let became = change().await?;
        if became == Became::Done {
            let now = Instant::now();
            let next = self.next.get_with(user, || Arc::new(Mutex::new(now)));
            let mut next = next.lock().unwrap_or_else(PoisonError::into_inner);
            // All that waited for one moment make one.
            *next = ((*next).max(now) + MOMENT).min(now + MOMENT * (AT_ONCE + 1));
        }
        Ok(became)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::Sym;

    async fn told(moments: &Moments, user: i32, became: Became) -> Duration {
        let begun = Instant::now();
        let done = moments.tell(Sym(user), async || Ok(became)).await;
        assert_eq!(done.ok(), Some(became));
        begun.elapsed()
    }

    #[tokio::test]
    async fn a_few_at_once_and_then_one_a_moment() {
        let moments = Moments::default();
        for _ in 0..50 {
            assert!(told(&moments, 1, Became::Same).await < MOMENT / 2);
        }
        let begun = Instant::now();
        for _ in 0..AT_ONCE + 3 {
            told(&moments, 1, Became::Done).await;
        }
        let took = begun.elapsed();
        assert!(took > MOMENT / 2 && took < MOMENT * 5, "{took:?}");
        assert!(told(&moments, 2, Became::Done).await < MOMENT / 2, "another user waits for nobody");
    }
}
