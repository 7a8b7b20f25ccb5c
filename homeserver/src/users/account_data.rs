//! Account data: what clients keep on the server for their user alone, in general and for each room.
//!
//! **Invariant:** the content is the client's; only tags are taken apart here, because they have requests of their own.

use std::sync::Arc;

use ruma::RoomId;
use serde_json::{Map, Value, json};
use sqlx::PgPool;

use super::{Turns, usage::Usage};
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
    usage: Arc<Usage>,
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
    /// The user keeps as much as is taken on.
    #[error("a user's account data takes {MOST_BYTES} bytes and {MOST_PIECES} pieces at most")]
    TooMuch,
    #[error(transparent)]
    Storage(#[from] storage::Error),
    #[error(transparent)]
    Log(#[from] log::Error),
}

/// The room that stands for account data outside rooms.
pub const GLOBAL: RoomNr = RoomNr(0);
const MAX_TYPE_BYTES: usize = 255;
const TAGS: &str = "m.tag";
/// Which rooms are talks with one person, by that person.
const DIRECT: &str = "m.direct";
const MAX_TAGS: usize = 1000;
/// What all pieces of a user take: a client's first sync shows them all.
pub(super) const MOST_BYTES: i64 = 16 << 20;
pub(super) const MOST_PIECES: i64 = 50_000;

impl AccountData {
    /// Account data over `pool`, written through `log`.
    pub fn new(pool: PgPool, log: Log) -> Self {
        Self { pool, log, turns: Arc::default(), usage: Arc::default() }
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
        // What is read and written again elsewhere in this file must not lose what comes here meanwhile.
        let _turn = match kind {
            TAGS | DIRECT => Some(self.turns.take(user, GLOBAL).await),
            _ => None,
        };
        self.write(vec![AccountDataWrite { user, room, kind: kind.into(), json }]).await
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
        let _turn = self.turns.take(user, GLOBAL).await;
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
        self.write(vec![tags_of(user, room, tags)]).await
    }

    /// Gives a room that takes the place of another the tags that the user had for that one, and the same place among their
    /// talks with one person; in one write. Each room is a number and an ID.
    ///
    /// # Errors
    /// The database's own, or the log's.
    pub async fn carry_over(
        &self,
        user: UserNr,
        old: (RoomNr, &RoomId),
        new: (RoomNr, &RoomId),
    ) -> Result<(), AccountDataError> {
        let _turn = self.turns.take(user, GLOBAL).await;
        let mut writes = Vec::new();
        let tags = self.tags(user, old.0).await?;
        if !tags.is_empty() && self.tags(user, new.0).await?.is_empty() {
            writes.push(tags_of(user, new.0, tags));
        }
        let direct = self.get(user, GLOBAL, DIRECT).await?;
        if let Some(json) = direct.and_then(|json| beside(&json, old.1, new.1)) {
            writes.push(AccountDataWrite { user, room: GLOBAL, kind: DIRECT.into(), json: json.into() });
        }
        if writes.is_empty() { Ok(()) } else { self.write(writes).await }
    }

    async fn write(&self, account_data: Vec<AccountDataWrite>) -> Result<(), AccountDataError> {
        for write in &account_data {
            if !self.usage.admits(&self.pool, write).await? {
                return Err(AccountDataError::TooMuch);
            }
        }
        self.log.write(Writes { account_data, ..Writes::default() }).await?;
        Ok(())
    }
}

fn tags_of(user: UserNr, room: RoomNr, tags: Map<String, Value>) -> AccountDataWrite {
    AccountDataWrite { user, room, kind: TAGS.into(), json: json!({ "tags": tags }).to_string().into() }
}

/// `m.direct` with `new` wherever `old` is; `None` where that changes nothing.
fn beside(direct: &str, old: &RoomId, new: &RoomId) -> Option<String> {
    // A client may have put anything there.
    let mut people: Map<String, Value> = serde_json::from_str(direct).ok()?;
    let mut changed = false;
    for rooms in people.values_mut().filter_map(Value::as_array_mut) {
        let has = |room: &RoomId| rooms.iter().any(|it| it == room.as_str());
        if has(old) && !has(new) {
            rooms.push(new.as_str().into());
            changed = true;
        }
    }
    changed.then(|| Value::Object(people).to_string())
}

#[cfg(test)]
mod tests {
    use ruma::room_id;

    use super::*;

    #[test]
    fn a_new_room_stands_beside_the_old_one() {
        let (old, new) = (room_id!("!old:a"), room_id!("!new"));
        let beside =
            |direct: Value| beside(&direct.to_string(), old, new).map(|it| serde_json::from_str::<Value>(&it).unwrap());
        let before = json!({ "@bob:a": ["!old:a", "!x:a"], "@carol:a": ["!x:a"], "odd": 5 });
        let after = json!({ "@bob:a": ["!old:a", "!x:a", "!new"], "@carol:a": ["!x:a"], "odd": 5 });
        assert_eq!(beside(before), Some(after.clone()));
        for nothing in [after, json!({}), json!([]), json!({ "@bob:a": "!old:a" })] {
            assert_eq!(beside(nothing), None);
        }
    }
}
