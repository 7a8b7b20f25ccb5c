//! Whom a user ignores: their messages are left out of timelines; state events are not.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use moka::sync::Cache;
use serde::{Deserialize, de::IgnoredAny};

use super::Sync;
use crate::storage::{self, Pos, Result, RoomNr, UserNr};

/// Lists in memory, each as of a position.
pub(super) struct Ignored(Cache<UserNr, List>);

#[derive(Clone)]
struct List {
    /// All account data up to here was known when it was read.
    as_of: Pos,
    users: Arc<HashSet<UserNr>>,
}

/// The content of `m.ignored_user_list`.
#[derive(Deserialize)]
struct Content {
    #[serde(default)]
    ignored_users: BTreeMap<String, IgnoredAny>,
}

impl Ignored {
    pub fn new() -> Self {
        Self(Cache::new(50_000))
    }
}

impl Sync {
    /// Whom `user` ignores.
    ///
    /// # Errors
    /// The database's own.
    pub async fn ignored(&self, user: UserNr) -> Result<Arc<HashSet<UserNr>>> {
        let inner = &self.0;
        let as_of = inner.log.watermark();
        if let Some(list) = inner.ignored.0.get(&user)
            && !inner.caches.touched.account_data(user, list.as_of)
        {
            return Ok(list.users);
        }
        let json = storage::sync::account_data_of(&inner.pool, user, RoomNr(0), "m.ignored_user_list").await?;
        let users = json.as_deref().map(names).unwrap_or_default();
        let names: Vec<&str> = users.iter().map(|name| &**name).collect();
        let users = Arc::new(inner.rooms.interner().numbers(&names).await?.into_iter().collect::<HashSet<_>>());
        inner.ignored.0.insert(user, List { as_of, users: Arc::clone(&users) });
        Ok(users)
    }
}

/// The user IDs in the content; what is none is passed over, as clients write what they like.
fn names(json: &str) -> Vec<String> {
    let content: Option<Content> = serde_json::from_str(json).ok();
    let names = content.into_iter().flat_map(|content| content.ignored_users.into_keys());
    names.filter(|name| <&ruma::UserId>::try_from(name.as_str()).is_ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_user_ids_count() {
        assert_eq!(names(r#"{"ignored_users":{"@a:s":{},"b":{},"@c:s":null}}"#), ["@a:s", "@c:s"]);
        assert!(names("{}").is_empty() && names(r#"{"ignored_users":[]}"#).is_empty());
    }
}
