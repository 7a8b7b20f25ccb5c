//! A room's threads, the latest answer first.

use std::{collections::HashSet, fmt, str::FromStr, sync::Arc};

use super::{
    super::{NotAToken, PageToken, Rooms, access::Reading, render::Shown},
    THREAD,
};
use crate::storage::{self, Result, UserNr};

/// Which threads are wanted.
#[derive(Debug, Clone, Copy)]
pub struct ThreadsAsk<'a> {
    pub from: Option<ThreadsToken>,
    pub limit: usize,
    /// Only those in which the reader took part.
    pub participated: bool,
    pub ignored: &'a HashSet<UserNr>,
}

/// A place in the list of threads as it stood when its first page was given: an answer that comes later moves no thread from
/// a page that is still to come to one that is past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ThreadsToken {
    /// Behind the thread whose last answer stood at `before`. The room ended at `until` then.
    Behind { before: i64, until: i64 },
    /// A place in the room's history, which begins a list of its own.
    At(PageToken),
}

impl fmt::Display for ThreadsToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Behind { before, until } => write!(f, "h{before}_{until}"),
            Self::At(token) => token.fmt(f),
        }
    }
}

impl FromStr for ThreadsToken {
    type Err = NotAToken;

    fn from_str(text: &str) -> std::result::Result<Self, NotAToken> {
        let Some(places) = text.strip_prefix('h') else { return text.parse().map(Self::At) };
        let (before, until) = places.split_once('_').ok_or(NotAToken)?;
        let number = |text: &str| text.parse::<i64>().map_err(|_| NotAToken);
        Ok(Self::Behind { before: number(before)?, until: number(until)? })
    }
}

/// A page of threads.
#[derive(Debug, Clone)]
pub struct ThreadPage {
    pub roots: Vec<Shown>,
    /// Where the next page begins; `None` where nothing is left.
    pub next: Option<ThreadsToken>,
}

/// So many threads are looked at in one step at least, and so many at most for one page.
const STEP: usize = 32;
const MOST: usize = 2000;

impl Rooms {
    /// A page of the roots of threads that the reader may see. Roots of ignored users are shown redacted.
    ///
    /// # Errors
    /// The database's own.
    pub async fn threads(&self, reading: &Reading, ask: ThreadsAsk<'_>) -> Result<ThreadPage> {
        let nothing = ThreadPage { roots: Vec::new(), next: None };
        let Some(thread) = self.0.interner.find(THREAD).await? else { return Ok(nothing) };
        let (mut before, mut until) = match ask.from {
            Some(ThreadsToken::Behind { before, until }) => (before, until),
            Some(ThreadsToken::At(token)) => (self.boundary(reading.room.nr, token).await?, i64::MAX),
            None => (i64::MAX, i64::MAX),
        };
        let (mut roots, mut looked_at) = (Vec::new(), 0);
        while looked_at < MOST {
            let step = (ask.limit - roots.len() + 1).max(STEP);
            let most = i64::try_from(step).unwrap_or(i64::MAX);
            let found =
                storage::relation::threads(&self.0.pool, reading.room.nr, thread, (before, until), most).await?;
            let exhausted = found.len() < step;
            looked_at += found.len();
            if let (None, i64::MAX, Some((_, newest))) = (ask.from, until, found.first()) {
                until = *newest;
            }
            let ids: Vec<&str> = found.iter().map(|(root, _)| root.as_str()).collect();
            let numbers = self.event_nrs(&ids).await?;
            let known: Vec<_> = numbers.iter().copied().flatten().collect();
            let events = self.seen(reading.user, self.events(&known).await?).await?;
            let bundles = self.bundles(events.values().map(|event| &**event), reading.user, ask.ignored).await?;
            for ((_, last), nr) in found.iter().zip(&numbers) {
                if roots.len() == ask.limit {
                    return Ok(ThreadPage { roots, next: Some(ThreadsToken::Behind { before, until }) });
                }
                before = *last;
                let Some(event) = nr.and_then(|nr| events.get(&nr)).filter(|event| event.room == reading.room.nr)
                else {
                    continue;
                };
                if bundles.is_root(event.nr) && (!ask.participated || bundles.participated(event.nr)) {
                    let emptied = ask.ignored.contains(&event.sender).then(|| event.emptied()).flatten();
                    let root = emptied.map_or_else(|| Arc::clone(event), Arc::new);
                    roots.push(Shown::from(root));
                }
            }
            if exhausted {
                return Ok(ThreadPage { roots, next: None });
            }
        }
        Ok(ThreadPage { roots, next: Some(ThreadsToken::Behind { before, until }) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_read_back() {
        for token in [
            ThreadsToken::Behind { before: -4, until: 9 },
            ThreadsToken::Behind { before: 7, until: i64::MAX },
            ThreadsToken::At(PageToken::Before(3)),
        ] {
            assert_eq!(token.to_string().parse(), Ok(token));
        }
        for text in ["", "h", "h1", "h1_", "h_1", "hx_1", "h1_2_3", "x1"] {
            assert_eq!(text.parse::<ThreadsToken>(), Err(NotAToken), "{text}");
        }
    }
}
