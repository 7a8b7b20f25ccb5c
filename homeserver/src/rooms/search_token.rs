//! Where a page of search results begins, and how results are parted into pages.
//!
//! **Invariant:** a token names results by what they are, never by how many came before: one that comes or goes between two
//! pages makes no other come twice or never.

use std::{fmt, str::FromStr};

use ruma::{OwnedRoomId, OwnedUserId};

use super::NotAToken;

/// Where a page of results begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchToken {
    /// Only what stands before this position of the log.
    pub(super) before: i64,
    /// What the first page said.
    pub(super) count: i64,
    /// Where the best come first: in which part of the log they were compared, and what came last.
    pub(super) ranked: Option<Ranked>,
    /// One group's results only.
    pub(super) within: Option<Within>,
}

/// A place among the best of a part of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ranked {
    /// The oldest position of the part.
    pub floor: i64,
    /// The last result shown: its rank's bits (no rank is below zero, so that bits and ranks have one order), its position.
    pub last: (u32, i64),
}

/// A group of results.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Within {
    Room(OwnedRoomId),
    Sender(OwnedUserId),
}

impl fmt::Display for SearchToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{}_{}", self.before, self.count)?;
        if let Some(Ranked { floor, last: (rank, pos) }) = self.ranked {
            write!(f, "_{floor}_{rank}_{pos}")?;
        }
        match &self.within {
            Some(Within::Room(room)) => write!(f, "~{room}"),
            Some(Within::Sender(user)) => write!(f, "~{user}"),
            None => Ok(()),
        }
    }
}

impl FromStr for SearchToken {
    type Err = NotAToken;

    fn from_str(text: &str) -> Result<Self, NotAToken> {
        let (places, group) = text.strip_prefix('n').ok_or(NotAToken)?.split_once('~').unzip();
        let places = places.unwrap_or(&text[1..]);
        let numbers: Vec<i64> =
            places.split('_').map(|it| it.parse().map_err(|_| NotAToken)).collect::<Result<_, _>>()?;
        if numbers.iter().any(|number| *number < 0) {
            return Err(NotAToken);
        }
        let (before, count, ranked) = match numbers[..] {
            [before, count] => (before, count, None),
            [before, count, floor, rank, pos] => {
                let rank = u32::try_from(rank).map_err(|_| NotAToken)?;
                (before, count, Some(Ranked { floor, last: (rank, pos) }))
            }
            _ => return Err(NotAToken),
        };
        let within = match group {
            Some(id) if id.starts_with('!') => Some(Within::Room(id.parse().map_err(|_| NotAToken)?)),
            Some(id) => Some(Within::Sender(id.parse().map_err(|_| NotAToken)?)),
            None => None,
        };
        Ok(Self { before, count, ranked, within })
    }
}

/// A result with what gives it its place.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Candidate<T> {
    pub pos: i64,
    pub rank: f32,
    pub it: T,
}

impl<T> Candidate<T> {
    /// The greater comes first where the best do.
    fn merit(&self) -> (u32, i64) {
        (self.rank.max(0.0).to_bits(), self.pos)
    }
}

/// What a walk back through the log found before some position.
#[derive(Debug, Clone)]
pub(super) struct Walked<T> {
    /// The newest first.
    pub found: Vec<Candidate<T>>,
    /// Everything from this position on was looked at; what is older was not. 0: all was.
    pub edge: i64,
}

/// A page of results.
#[derive(Debug, Clone)]
pub(super) struct Turned<T> {
    pub page: Vec<Candidate<T>>,
    /// What was found beyond the page.
    pub rest: Vec<Candidate<T>>,
    /// Where the next page begins; `None` where nothing is left.
    pub next: Option<SearchToken>,
    /// What is older than all that was found was not looked at.
    pub open: bool,
}

impl<T> Walked<T> {
    /// The page of `limit` results that begins at `from`: the best first, or the newest.
    pub fn turn(self, from: &SearchToken, by_rank: bool, limit: usize) -> Turned<T> {
        let (mut page, edge) = (self.found, self.edge);
        if by_rank {
            page.sort_by_key(|it| std::cmp::Reverse(it.merit()));
            page.retain(|it| from.ranked.is_none_or(|ranked| it.merit() < ranked.last));
        }
        let rest = page.split_off(limit.min(page.len()));
        let after = |before, ranked| Some(SearchToken { before, ranked, ..from.clone() });
        let next = match page.last() {
            Some(last) if !rest.is_empty() => match by_rank {
                true => after(from.before, Some(Ranked { floor: edge, last: last.merit() })),
                false => after(last.pos, None),
            },
            _ if edge > 0 && limit > 0 => after(edge, None),
            _ => None,
        };
        Turned { page, rest, next, open: edge > 0 }
    }
}

#[cfg(test)]
mod tests {
    use roost_tests::seed::Seed;

    use super::*;

    #[test]
    fn tokens_are_read_back_and_anything_else_is_not() {
        let plain = SearchToken { before: 7, count: 3, ranked: None, within: None };
        let ranked = SearchToken { ranked: Some(Ranked { floor: 2, last: (0.5_f32.to_bits(), 5) }), ..plain.clone() };
        let room = Within::Room("!a_~b:s".parse().unwrap());
        let sender = Within::Sender("@u:s".parse().unwrap());
        for token in [
            plain.clone(),
            ranked.clone(),
            SearchToken { within: Some(room), ..ranked },
            SearchToken { within: Some(sender), ..plain },
        ] {
            assert_eq!(token.to_string().parse(), Ok(token));
        }
        for text in ["", "n", "n1", "n-1_0", "n1_2_3", "n1_2_3_99999999999_5", "n1_2~", "n1_2~#a:s", "x1_2", "é1_2"] {
            assert_eq!(text.parse::<SearchToken>(), Err(NotAToken), "{text}");
        }
    }

    /// A log of results, and a walk that looks at `patience` of them at a time.
    fn walk(log: &[Candidate<u64>], from: &SearchToken, patience: usize) -> Walked<u64> {
        let floor = from.ranked.map_or(0, |ranked| ranked.floor);
        let mut found: Vec<_> = log.iter().filter(|it| it.pos < from.before && it.pos >= floor).cloned().collect();
        found.sort_by_key(|it| std::cmp::Reverse(it.pos));
        let whole = from.ranked.is_some() || found.len() <= patience;
        found.truncate(if whole { found.len() } else { patience });
        let edge = if whole { floor } else { found.last().map_or(0, |it| it.pos) };
        Walked { found, edge }
    }

    #[test]
    fn what_comes_or_goes_between_pages_makes_no_other_skipped_or_repeated() {
        let mut seed = Seed::announced("search pages");
        for round in 0..400_u64 {
            let by_rank = round % 2 == 0;
            let new = |pos: i64, seed: &mut Seed| Candidate {
                pos,
                rank: f32::from(u8::try_from(seed.below(4)).unwrap_or(0)) / 8.0,
                it: seed.draw(),
            };
            let mut log: Vec<Candidate<u64>> =
                (1..=i64::try_from(seed.below(60)).unwrap()).map(|pos| new(pos, &mut seed)).collect();
            let all = log.clone();
            let mut gone = Vec::new();
            let mut token = Some(SearchToken { before: 1000, count: 0, ranked: None, within: None });
            let (mut seen, limit, patience) = (Vec::new(), 1 + seed.below(5), 5 + seed.below(20));
            let mut newest = 1000;
            while let Some(from) = token {
                let turned = walk(&log, &from, patience).turn(&from, by_rank, limit);
                seen.extend(turned.page.iter().map(|it| it.it));
                token = turned.next.map(|next| next.to_string().parse().unwrap());
                // Something is redacted, something is said.
                if !log.is_empty() && seed.below(2) == 0 {
                    gone.push(log.swap_remove(seed.below(log.len())).it);
                }
                log.push(new(newest, &mut seed));
                newest += 1;
            }
            let mut twice = seen.clone();
            twice.sort_unstable();
            twice.dedup();
            assert_eq!(twice.len(), seen.len(), "round {round}: repeated");
            for stays in all.iter().filter(|it| !gone.contains(&it.it)) {
                assert!(seen.contains(&stays.it), "round {round}: skipped {stays:?}");
            }
        }
    }
}
