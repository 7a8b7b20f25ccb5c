//! Account data: what clients keep on the server for their user alone, in general and for each room.
//!
//! **Invariant:** the content is the client's; only tags are taken apart here, because they have requests of their own.

use std::sync::Arc;

use serde_json::{Map, Value};
use sqlx::PgPool;

use super::Turns;
use crate::{
    log::{self, Log, Writes},
    storage::{self, RoomNr, UserNr, commit::AccountDataWrite},
};

/// Users' account data. Cheap to clone.
#[derive(Clone)]
pub struct AccountData {
    pool: PgPool,
    log: Log,
    turns: Arc<Turns>,
}

/// Why account data is not set.
#[derive(Debug, thiserror::Error)]
pub enum AccountDataError {
    /// The type is longer than an event type may be.
    #[error("the type is longer than 255 bytes")]
    TypeTooLong,
    /// The room's tags hold as much as is taken on.
    #[error("a room can't have more tags")]
    TooManyTags,
    #[error(transparent)]
    Storage(#[from] storage::Error),
    #[error(transparent)]
    Log(#[from] log::Error),
}

/// The room that stands for account data outside rooms.
pub const GLOBAL: RoomNr = RoomNr(0);
const MAX_TYPE_BYTES: usize = 255;
const TAGS: &str = "m.tag";
const MAX_TAGS: usize = 1000;

impl AccountData {
    /// Account data over `pool`, written through `log`.
    pub fn new(pool: PgPool, log: Log) -> Self {
        Self { pool, log, turns: Arc::default() }
    }

    /// The content of one piece.
    ///
    /// # Errors
    /// The database's own.
    pub async fn get(&self, user: UserNr, room: RoomNr, kind: &str) -> storage::Result<Option<String>> {
        storage::account_data::get(&self.pool, user, room, kind).await
    }

    /// Sets one piece; a sync of any of the user's devices shows it.
    ///
    /// # Errors
    /// See [`AccountDataError`].
    pub async fn put(&self, user: UserNr, room: RoomNr, kind: &str, json: Arc<str>) -> Result<(), AccountDataError> {
        if kind.len() > MAX_TYPE_BYTES {
            return Err(AccountDataError::TypeTooLong);
        }
        let account_data = vec![AccountDataWrite { user, room, kind: kind.into(), json }];
        self.log.write(Writes { account_data, ..Writes::default() }).await?;
        Ok(())
    }

    /// The user's tags for a room, each with what the client keeps with it.
    ///
    /// # Errors
    /// The database's own.
    pub async fn tags(&self, user: UserNr, room: RoomNr) -> storage::Result<Map<String, Value>> {
        let json = self.get(user, room, TAGS).await?;
        // A client may have put anything under this type: what are no tags are none.
        let content: Map<String, Value> = json.and_then(|json| serde_json::from_str(&json).ok()).unwrap_or_default();
        Ok(match content.get("tags") {
            Some(Value::Object(tags)) => tags.clone(),
            _ => Map::new(),
        })
    }

    /// Sets a tag, or takes it away with `None`.
    ///
    /// # Errors
    /// See [`AccountDataError`].
    pub async fn set_tag(
        &self,
        user: UserNr,
        room: RoomNr,
        tag: &str,
        value: Option<Map<String, Value>>,
    ) -> Result<(), AccountDataError> {
        if tag.len() > MAX_TYPE_BYTES {
            return Err(AccountDataError::TypeTooLong);
        }
        let _turn = self.turns.take(user, room).await;
        let mut tags = self.tags(user, room).await?;
        match value {
            Some(value) => {
                tags.insert(tag.to_owned(), Value::Object(value));
                if tags.len() > MAX_TAGS {
                    return Err(AccountDataError::TooManyTags);
                }
            }
            None if tags.remove(tag).is_none() => return Ok(()),
            None => {}
        }
        let json = serde_json::json!({ "tags": tags }).to_string().into();
        self.put(user, room, TAGS, json).await
    }
}
