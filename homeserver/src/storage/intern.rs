//! Strings as numbers, with a bounded cache both ways.
//!
//! **Invariant:** a look-up gives no string a number. Numbers last for ever, so that only what was checked in form and length,
//! and is about to be written by somebody who may, gets one.

use std::{collections::HashMap, sync::Arc};

use sqlx::PgPool;

use super::{Result, Sym};
use crate::{cache::Cache, metrics};

/// The interner: one table, cached. A number never changes its meaning, so that nothing here is ever invalidated.
#[derive(Clone)]
pub struct Interner {
    pool: PgPool,
    numbers: Cache<Arc<str>, Sym>,
    texts: Cache<Sym, Arc<str>>,
}

/// In bytes each. Users choose how long strings are.
const CAPACITY: u64 = 24 << 20;
/// What the cache itself needs for an entry, beside the string.
const ENTRY: usize = 120;

fn weight(text: &str) -> u32 {
    u32::try_from(text.len() + ENTRY).unwrap_or(u32::MAX)
}

impl Interner {
    /// An interner over `pool` that keeps about 200,000 strings of usual length in memory.
    pub fn new(pool: PgPool) -> Self {
        let numbers = Cache::weighed(CAPACITY, |text: &Arc<str>, _: &Sym| weight(text));
        let texts = Cache::weighed(CAPACITY, |_: &Sym, text: &Arc<str>| weight(text));
        Self { pool, numbers, texts }
    }

    fn remember(&self, nr: Sym, text: &Arc<str>) {
        self.numbers.insert(Arc::clone(text), nr);
        self.texts.insert(nr, Arc::clone(text));
    }

    /// The string's number, if it has one in the cache.
    pub fn cached(&self, text: &str) -> Option<Sym> {
        let found = self.numbers.get(text);
        metrics::CACHE_INTERN.looked_up(found.is_some());
        found
    }

    /// The string's number; gives it one where it has none. For what is about to be written.
    pub async fn number(&self, text: &str) -> Result<Sym> {
        match self.cached(text) {
            Some(nr) => Ok(nr),
            None => Ok(self.numbers(&[text]).await?[0]),
        }
    }

    /// The strings' numbers, in their order; gives new strings new numbers. For what is about to be written.
    pub async fn numbers(&self, texts: &[&str]) -> Result<Vec<Sym>> {
        // Reads first: an insert that conflicts would burn a number of the sequence.
        let mut found = self.find_many(texts.iter().copied()).await?;
        let mut missing: Vec<&str> = texts.iter().copied().filter(|text| !found.contains_key(text)).collect();
        if !missing.is_empty() {
            missing.sort_unstable();
            missing.dedup();
            let bytes: Vec<&[u8]> = missing.iter().map(|text| text.as_bytes()).collect();
            let insert =
                "insert into intern (value) select x from unnest($1::bytea[]) x order by x on conflict do nothing";
            sqlx::query(insert).bind(&bytes).execute(&self.pool).await?;
            found.extend(self.read(&missing).await?);
        }
        let lost = || super::Error::Inconsistent("an interned string was not found after its insert".to_owned());
        texts.iter().map(|text| found.get(text).copied().ok_or_else(lost)).collect()
    }

    /// The string's number without giving it one.
    pub async fn find(&self, text: &str) -> Result<Option<Sym>> {
        Ok(self.find_many([text]).await?.remove(text))
    }

    /// The numbers of those strings that have one, in one query at most.
    pub async fn find_many<'t>(&self, texts: impl IntoIterator<Item = &'t str>) -> Result<HashMap<&'t str, Sym>> {
        let (mut found, mut missing) = (HashMap::new(), Vec::new());
        for text in texts {
            match self.cached(text) {
                Some(nr) => drop(found.insert(text, nr)),
                None => missing.push(text),
            }
        }
        if !missing.is_empty() {
            missing.sort_unstable();
            missing.dedup();
            found.extend(self.read(&missing).await?);
        }
        Ok(found)
    }

    /// Asks the database. `texts` are sorted.
    async fn read<'t>(&self, texts: &[&'t str]) -> Result<Vec<(&'t str, Sym)>> {
        let bytes: Vec<&[u8]> = texts.iter().map(|text| text.as_bytes()).collect();
        let sql = "select nr, value from intern where value = any($1)";
        let rows: Vec<(Sym, Vec<u8>)> = sqlx::query_as(sql).bind(&bytes).fetch_all(&self.pool).await?;
        let of_row = |(nr, value): (Sym, Vec<u8>)| {
            let text = texts[texts.binary_search_by(|text| text.as_bytes().cmp(&value)).ok()?];
            self.remember(nr, &Arc::from(text));
            Some((text, nr))
        };
        Ok(rows.into_iter().filter_map(of_row).collect())
    }

    /// What a number stands for.
    pub async fn text(&self, nr: Sym) -> Result<Arc<str>> {
        if let Some(text) = self.texts.get(&nr) {
            return Ok(text);
        }
        self.texts(&[nr])
            .await?
            .remove(&nr)
            .ok_or_else(|| super::Error::Inconsistent(format!("no string has number {}", nr.0)))
    }

    /// What many numbers stand for, in one query at most.
    pub async fn texts(&self, numbers: &[Sym]) -> Result<HashMap<Sym, Arc<str>>> {
        let mut found: HashMap<Sym, Arc<str>> = HashMap::with_capacity(numbers.len());
        let mut missing = Vec::new();
        for nr in numbers {
            match self.texts.get(nr) {
                Some(text) => drop(found.insert(*nr, text)),
                None => missing.push(nr.0),
            }
        }
        if !missing.is_empty() {
            let sql = "select nr, value from intern where nr = any($1)";
            let rows: Vec<(Sym, Vec<u8>)> = sqlx::query_as(sql).bind(&missing).fetch_all(&self.pool).await?;
            for (nr, value) in rows {
                let text: Arc<str> = String::from_utf8(value)
                    .map_err(|_| super::Error::Inconsistent(format!("the string with number {} is not UTF-8", nr.0)))?
                    .into();
                self.remember(nr, &text);
                found.insert(nr, text);
            }
        }
        Ok(found)
    }
}
