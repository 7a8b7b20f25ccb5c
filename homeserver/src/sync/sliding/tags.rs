//! What a user noted about rooms in account data: direct chats and tags. In memory, each as of a position.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use moka::sync::Cache;
use serde::Deserialize;
use serde_json::Value;

use super::super::Sync;
use crate::storage::{self, Pos, Result, RoomNr, UserNr};

/// The memory of all users.
pub(in super::super) struct RoomLabels {
    direct: Cache<UserNr, AsOf<HashSet<String>>>,
    tags: Cache<UserNr, AsOf<HashMap<RoomNr, HashSet<String>>>>,
}

#[derive(Clone)]
struct AsOf<T> {
    /// All account data up to here was known when it was read.
    pos: Pos,
    value: Arc<T>,
}

/// The content of `m.tag`.
#[derive(Deserialize)]
struct Tags {
    tags: BTreeMap<String, Value>,
}

impl RoomLabels {
    pub fn new() -> Self {
        Self { direct: Cache::new(20_000), tags: Cache::new(5_000) }
    }
}

impl Sync {
    /// The IDs of the rooms that `user` calls direct chats.
    ///
    /// # Errors
    /// The database's own.
    pub(super) async fn direct_chats(&self, user: UserNr) -> Result<Arc<HashSet<String>>> {
        let pos = self.0.log.watermark();
        if let Some(known) = self.0.labels.direct.get(&user)
            && !self.0.caches.touched.account_data(user, known.pos)
        {
            return Ok(known.value);
        }
        let json = storage::sync::account_data_of(&self.0.pool, user, RoomNr(0), "m.direct").await?;
        let value = Arc::new(json.as_deref().map(rooms_in).unwrap_or_default());
        self.0.labels.direct.insert(user, AsOf { pos, value: Arc::clone(&value) });
        Ok(value)
    }

    /// The tags that `user` gave to rooms.
    ///
    /// # Errors
    /// The database's own.
    pub(super) async fn tags(&self, user: UserNr) -> Result<Arc<HashMap<RoomNr, HashSet<String>>>> {
        let pos = self.0.log.watermark();
        if let Some(known) = self.0.labels.tags.get(&user)
            && !self.0.caches.touched.account_data(user, known.pos)
        {
            return Ok(known.value);
        }
        let rows = storage::sync::account_data_of_kind(&self.0.pool, user, "m.tag").await?;
        let tags = |json: &str| serde_json::from_str::<Tags>(json).ok().map(|tags| tags.tags.into_keys().collect());
        let value: HashMap<RoomNr, HashSet<String>> =
            rows.iter().filter_map(|row| Some((row.room, tags(&row.json)?))).collect();
        let value = Arc::new(value);
        self.0.labels.tags.insert(user, AsOf { pos, value: Arc::clone(&value) });
        Ok(value)
    }
}

/// The room IDs in the content of `m.direct`: lists by user. What looks otherwise is passed over.
fn rooms_in(json: &str) -> HashSet<String> {
    let content: BTreeMap<String, Value> = serde_json::from_str(json).unwrap_or_default();
    let lists = content.into_values().filter_map(|rooms| match rooms {
        Value::Array(rooms) => Some(rooms),
        _ => None,
    });
    lists.flatten().filter_map(|room| room.as_str().map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn direct_chats_are_read_from_whatever_clients_write() {
        let rooms = rooms_in(r#"{"@a:s":["!1:s","!2:s"],"@b:s":"!3:s","@c:s":[4,"!5:s"]}"#);
        assert_eq!(rooms, ["!1:s", "!2:s", "!5:s"].map(str::to_owned).into());
        assert!(rooms_in("[]").is_empty());
    }
}
