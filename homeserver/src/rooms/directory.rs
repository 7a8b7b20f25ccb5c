//! The public directory: the rooms that are listed, the fullest first.

use std::{cmp::Reverse, str::FromStr, sync::Arc};

use super::{Rooms, card::Card};
use crate::storage::{self, Result};

/// Which rooms of the directory are wanted.
#[derive(Debug, Clone, Default)]
pub struct DirectoryAsk {
    /// Occurs in the name, the topic or the alias, whatever its case.
    pub term: Option<String>,
    /// Of these types; `None` among them stands for rooms without one.
    pub types: Option<Vec<Option<String>>>,
    pub since: Option<Since>,
    pub limit: usize,
}

/// A place in the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Since {
    at: usize,
}

impl std::fmt::Display for Since {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "d{}", self.at)
    }
}

impl FromStr for Since {
    type Err = super::NotAToken;

    fn from_str(text: &str) -> std::result::Result<Self, super::NotAToken> {
        let at = text.strip_prefix('d').and_then(|at| at.parse::<u32>().ok()).ok_or(super::NotAToken)?;
        Ok(Self { at: usize::try_from(at).map_err(|_| super::NotAToken)? })
    }
}

/// A page of the directory.
#[derive(Debug, Clone)]
pub struct DirectoryPage {
    pub chunk: Vec<Arc<Card>>,
    pub next: Option<Since>,
    pub previous: Option<Since>,
    /// How many rooms fit.
    pub total: usize,
}

impl Rooms {
    /// A page of the public directory. Rooms that nobody is in are not shown.
    ///
    /// # Errors
    /// The database's own.
    pub async fn directory(&self, ask: &DirectoryAsk) -> Result<DirectoryPage> {
        let listed = storage::room::listed(&self.0.pool).await?;
        let term = ask.term.as_deref().map(str::to_lowercase).filter(|term| !term.is_empty());
        let mut cards: Vec<Arc<Card>> = self
            .cards_of(&listed)
            .await?
            .into_values()
            .filter(|card| card.num_joined_members > 0 && fits(card, term.as_deref(), ask.types.as_deref()))
            .collect();
        cards.sort_unstable_by(|a, b| {
            (Reverse(a.num_joined_members), &a.room_id).cmp(&(Reverse(b.num_joined_members), &b.room_id))
        });
        let total = cards.len();
        let begin = ask.since.map_or(0, |since| since.at).min(total);
        let end = begin.saturating_add(ask.limit).min(total);
        Ok(DirectoryPage {
            chunk: cards.drain(begin..end).collect(),
            next: (end < total).then_some(Since { at: end }),
            previous: (begin > 0).then(|| Since { at: begin.saturating_sub(ask.limit) }),
            total,
        })
    }
}

fn fits(card: &Card, term: Option<&str>, types: Option<&[Option<String>]>) -> bool {
    let holds =
        |text: &Option<String>, term: &str| text.as_ref().is_some_and(|text| text.to_lowercase().contains(term));
    let found = term.is_none_or(|term| {
        [&card.name, &card.topic, &card.canonical_alias].iter().any(|text| holds(text, term))
            || card.room_id.as_str().to_lowercase() == term
    });
    found && types.is_none_or(|types| types.contains(&card.room_type))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_back() {
        assert_eq!(Since { at: 7 }.to_string().parse(), Ok(Since { at: 7 }));
        for text in ["", "d", "7", "d-1", "d99999999999", "t1"] {
            assert!(text.parse::<Since>().is_err(), "{text}");
        }
    }
}
