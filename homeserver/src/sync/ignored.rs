//! Whom a user ignores: their messages are left out of timelines; state events are not. And whose invites they want to
//! see.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use moka::sync::Cache;
use serde::{Deserialize, de::IgnoredAny};

use super::Sync;
use crate::{
    rooms::{INVITE_PERMISSION, InviteRules, Permission},
    storage::{self, EventNr, Pos, Result, RoomNr, UserNr, member::OfUser},
};

/// Lists in memory, each as of a position.
pub(super) struct Ignored(Cache<UserNr, List>);

#[derive(Clone)]
struct List {
    /// All account data up to here was known when it was read.
    as_of: Pos,
    users: Arc<HashSet<UserNr>>,
    invites: Arc<InviteRules>,
}

const IGNORED_USERS: &str = "m.ignored_user_list";

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
        Ok(self.shunned(user).await?.users)
    }

    /// Of `invited` the rooms into which somebody invites `user` whom they ignore, or do not let invite them; one query at
    /// most.
    ///
    /// # Errors
    /// The database's own.
    pub(super) async fn unwanted(&self, user: UserNr, invited: &[OfUser]) -> Result<HashSet<RoomNr>> {
        if invited.is_empty() {
            return Ok(HashSet::new());
        }
        let List { users, invites, .. } = self.shunned(user).await?;
        if users.is_empty() && invites.are_empty() {
            return Ok(HashSet::new());
        }
        let numbers: Vec<EventNr> = invited.iter().map(|own| own.nr).collect();
        let events = self.0.rooms.events(&numbers).await?;
        let senders: Vec<UserNr> = events.iter().map(|event| event.sender).collect();
        let names = self.0.rooms.interner().texts(&senders).await?;
        let is_refused = |sender: &UserNr| {
            let name = names.get(sender).and_then(|name| <&ruma::UserId>::try_from(&**name).ok());
            name.is_some_and(|name| invites.judge(name) != Permission::Allowed)
        };
        let unwanted = events.iter().filter(|event| users.contains(&event.sender) || is_refused(&event.sender));
        Ok(unwanted.map(|event| event.room).collect())
    }

    async fn shunned(&self, user: UserNr) -> Result<List> {
        let inner = &self.0;
        let as_of = inner.log.watermark();
        if let Some(list) = inner.ignored.0.get(&user)
            && !inner.caches.touched.account_data(user, list.as_of)
        {
            return Ok(list);
        }
        let kinds = [&[IGNORED_USERS][..], &INVITE_PERMISSION].concat();
        let pieces = storage::account_data::of_users(&inner.pool, &[user], &kinds).await?;
        let invites = InviteRules::read(pieces.iter().map(|(_, kind, json)| (kind.as_str(), json.as_str())));
        let json = pieces.iter().find(|(_, kind, _)| kind == IGNORED_USERS).map(|(.., json)| json.as_str());
        let users = json.map(names).unwrap_or_default();
        let names: Vec<&str> = users.iter().map(|name| &**name).collect();
        let users = Arc::new(inner.rooms.interner().numbers(&names).await?.into_iter().collect::<HashSet<_>>());
        let list = List { as_of, users, invites: Arc::new(invites) };
        inner.ignored.0.insert(user, list.clone());
        Ok(list)
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
