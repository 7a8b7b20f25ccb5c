//! Filters that clients store, and filters that they send along.

use std::sync::Arc;

use ruma::api::client::filter::{EventFormat, FilterDefinition};

use super::{Filter, Sync};
use crate::{
    cache::Cache,
    storage::{self, UserNr},
};

/// Stored filters in memory. A number never changes its meaning.
pub(super) struct Filters(Cache<(UserNr, i32), Arc<Filter>>);

/// What is wrong with a filter.
#[derive(Debug, thiserror::Error)]
pub enum FilterError {
    /// It is not what the specification describes.
    #[error("the filter is not valid: {0}")]
    Malformed(String),
    /// The user keeps as many as are taken on.
    #[error("a user stores {MOST} filters at most")]
    TooMany,
    /// The user has stored no filter of this number.
    #[error("there is no filter with this ID")]
    Unknown,
    #[error(transparent)]
    Storage(#[from] storage::Error),
}

/// A filter is at most this large.
const MAX_BYTES: usize = 16 << 10;
/// So many a user stores. Clients store one, and use it for good.
const MOST: i32 = 1000;

impl Filters {
    pub fn new() -> Self {
        Self(Cache::new(10_000))
    }
}

impl Sync {
    /// Stores a filter and returns its ID. Equal filters of a user share one.
    ///
    /// # Errors
    /// See [`FilterError`].
    pub async fn store_filter(&self, user: UserNr, json: &str) -> Result<String, FilterError> {
        parse(json)?;
        // Written anew without spaces and with sorted keys, so that equal filters are equal texts.
        let value: serde_json::Value = serde_json::from_str(json).map_err(|e| FilterError::Malformed(e.to_string()))?;
        let text = value.to_string();
        if text.contains("\\u0000") {
            return Err(FilterError::Malformed("it holds the character U+0000".to_owned()));
        }
        if text.len() > MAX_BYTES {
            return Err(FilterError::Malformed(format!("it is larger than {MAX_BYTES} bytes")));
        }
        let id = storage::filter::put(&self.0.pool, user, &text, MOST).await?.ok_or(FilterError::TooMany)?;
        Ok(id.to_string())
    }

    /// A stored filter as JSON.
    ///
    /// # Errors
    /// [`FilterError::Unknown`], or the database's own.
    pub async fn filter_json(&self, user: UserNr, id: &str) -> Result<String, FilterError> {
        let id = id.parse().map_err(|_| FilterError::Unknown)?;
        storage::filter::get(&self.0.pool, user, id).await?.ok_or(FilterError::Unknown)
    }

    /// The filter that a request names: an ID, or JSON where it begins with a brace.
    ///
    /// # Errors
    /// See [`FilterError`].
    pub async fn filter(&self, user: UserNr, text: &str) -> Result<Arc<Filter>, FilterError> {
        if text.starts_with('{') {
            return parse(text).map(Arc::new);
        }
        let id = text.parse().map_err(|_| FilterError::Unknown)?;
        if let Some(filter) = self.0.filters.0.get(&(user, id)) {
            return Ok(filter);
        }
        let filter = Arc::new(parse(&self.filter_json(user, text).await?)?);
        self.0.filters.0.insert((user, id), Arc::clone(&filter));
        Ok(filter)
    }
}

fn parse(json: &str) -> Result<Filter, FilterError> {
    let definition: FilterDefinition = serde_json::from_str(json).map_err(|e| FilterError::Malformed(e.to_string()))?;
    if !matches!(definition.event_format, EventFormat::Client | EventFormat::Federation) {
        return Err(FilterError::Malformed("`event_format` is `client` or `federation`".to_owned()));
    }
    Ok(definition.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_clients_send_is_read() {
        // Element Web, the Rust SDK, a bot.
        for text in [
            r#"{"room":{"timeline":{"limit":20,"unread_thread_notifications":true},"state":{"lazy_load_members":true}}}"#,
            r#"{"room":{"include_leave":false,"state":{"lazy_load_members":true}},"event_fields":null,"org.example":1}"#,
            r#"{"presence":{"types":[]},"room":{"timeline":{"types":["m.room.message"]}}}"#,
        ] {
            assert!(parse(text).is_ok(), "{text}");
        }
        for text in [
            r#"{"room":[]}"#,
            r#"{"room":{"timeline":{"limit":-1}}}"#,
            r#"{"room":{"rooms":["x"]}}"#,
            r#"{"event_format":"x"}"#,
            "{",
        ] {
            assert!(matches!(parse(text), Err(FilterError::Malformed(_))), "{text}");
        }
    }
}
