//! A room's threads, the latest answer first.

use std::collections::HashSet;

use super::super::{PageToken, Rooms, access::Reading, render::Shown};
use crate::storage::{self, Result, UserNr};

/// Which threads are wanted.
#[derive(Debug, Clone, Copy)]
pub struct ThreadsAsk<'a> {
    pub from: Option<PageToken>,
    pub limit: usize,
    /// Only those in which the reader took part.
    pub participated: bool,
    pub ignored: &'a HashSet<UserNr>,
}

/// A page of threads.
#[derive(Debug, Clone)]
pub struct ThreadPage {
    pub roots: Vec<Shown>,
    /// Where the next page begins; `None` where nothing is left.
    pub next: Option<PageToken>,
}

/// So many threads are looked at in one step at least, and so many at most for one page.
const STEP: usize = 32;
const MOST: usize = 2000;

impl Rooms {
    /// A page of the roots of threads that the reader may see.
    ///
    /// # Errors
    /// The database's own.
    pub async fn threads(&self, reading: &Reading, ask: ThreadsAsk<'_>) -> Result<ThreadPage> {
        let mut before = match ask.from {
            Some(token) => self.boundary(reading.room.nr, token).await?,
            None => i64::MAX,
        };
        let (mut roots, mut looked_at) = (Vec::new(), 0);
        while looked_at < MOST {
            let step = (ask.limit - roots.len() + 1).max(STEP);
            let most = i64::try_from(step).unwrap_or(i64::MAX);
            let found = storage::relation::threads(&self.0.pool, reading.room.nr, before, most).await?;
            let exhausted = found.len() < step;
            looked_at += found.len();
            let ids: Vec<&str> = found.iter().map(|(root, _)| root.as_str()).collect();
            let numbers = self.event_nrs(&ids).await?;
            let known: Vec<_> = numbers.iter().copied().flatten().collect();
            let events = self.seen(reading.user, self.events(&known).await?).await?;
            let bundles = self.bundles(events.values().map(|event| &**event), reading.user, ask.ignored).await?;
            for ((_, last), nr) in found.iter().zip(&numbers) {
                if roots.len() == ask.limit {
                    return Ok(ThreadPage { roots, next: Some(PageToken::Before(before)) });
                }
                before = *last;
                let Some(event) = nr.and_then(|nr| events.get(&nr)).filter(|event| event.room == reading.room.nr)
                else {
                    continue;
                };
                if bundles.is_root(event.nr) && (!ask.participated || bundles.participated(event.nr)) {
                    roots.push(Shown::from(std::sync::Arc::clone(event)));
                }
            }
            if exhausted {
                return Ok(ThreadPage { roots, next: None });
            }
        }
        Ok(ThreadPage { roots, next: Some(PageToken::Before(before)) })
    }
}
