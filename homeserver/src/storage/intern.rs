//! Strings as numbers, with a bounded cache both ways.

use std::{collections::HashMap, sync::Arc};

use moka::sync::Cache;
use sqlx::PgPool;

use super::{Result, Sym};
use crate::metrics;

/// The interner: one table, cached. A number never changes its meaning, so that nothing here is ever invalidated.
#[derive(Clone)]
pub struct Interner {
    pool: PgPool,
    numbers: Cache<Arc<str>, Sym>,
    texts: Cache<Sym, Arc<str>>,
}

impl Interner {
    /// An interner over `pool` that keeps up to 200,000 strings in memory.
    pub fn new(pool: PgPool) -> Self {
        Self { pool, numbers: Cache::new(200_000), texts: Cache::new(200_000) }
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

    /// The string's number; gives it one where it has none.
    pub async fn number(&self, text: &str) -> Result<Sym> {
        match self.cached(text) {
            Some(nr) => Ok(nr),
            None => Ok(self.numbers(&[text]).await?[0]),
        }
    }

    /// The strings' numbers, in their order; gives new strings new numbers.
    pub async fn numbers(&self, texts: &[&str]) -> Result<Vec<Sym>> {
        let mut missing: Vec<&str> = texts.iter().copied().filter(|t| !self.numbers.contains_key(*t)).collect();
        missing.sort_unstable();
        missing.dedup();
        let mut found: HashMap<&str, Sym> = HashMap::new();
        if !missing.is_empty() {
            let bytes: Vec<&[u8]> = missing.iter().map(|t| t.as_bytes()).collect();
            // Reads first: an insert that conflicts would burn a number of the sequence.
            let sql = "select nr, value from intern where value = any($1)";
            let mut rows: Vec<(Sym, Vec<u8>)> = sqlx::query_as(sql).bind(&bytes).fetch_all(&self.pool).await?;
            if rows.len() < missing.len() {
                let insert =
                    "insert into intern (value) select x from unnest($1::bytea[]) x order by x on conflict do nothing";
                sqlx::query(insert).bind(&bytes).execute(&self.pool).await?;
                rows = sqlx::query_as(sql).bind(&bytes).fetch_all(&self.pool).await?;
            }
            for (nr, value) in rows {
                if let Ok(at) = missing.binary_search_by(|t| t.as_bytes().cmp(&value)) {
                    found.insert(missing[at], nr);
                    self.remember(nr, &Arc::from(missing[at]));
                }
            }
        }
        texts
            .iter()
            .map(|t| {
                found.get(t).copied().or_else(|| self.numbers.get(*t)).ok_or_else(|| {
                    super::Error::Inconsistent("an interned string was not found after its insert".to_owned())
                })
            })
            .collect()
    }

    /// The string's number without giving it one.
    pub async fn find(&self, text: &str) -> Result<Option<Sym>> {
        if let Some(nr) = self.cached(text) {
            return Ok(Some(nr));
        }
        let row: Option<(Sym,)> = sqlx::query_as("select nr from intern where value = $1")
            .bind(text.as_bytes())
            .fetch_optional(&self.pool)
            .await?;
        if let Some((nr,)) = row {
            self.remember(nr, &Arc::from(text));
        }
        Ok(row.map(|r| r.0))
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
            let bytes: Vec<&[u8]> = missing.iter().map(|text| text.as_bytes()).collect();
            let sql = "select nr, value from intern where value = any($1)";
            let rows: Vec<(Sym, Vec<u8>)> = sqlx::query_as(sql).bind(&bytes).fetch_all(&self.pool).await?;
            for (nr, value) in rows {
                if let Ok(at) = missing.binary_search_by(|text| text.as_bytes().cmp(&value)) {
                    found.insert(missing[at], nr);
                    self.remember(nr, &Arc::from(missing[at]));
                }
            }
        }
        Ok(found)
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
