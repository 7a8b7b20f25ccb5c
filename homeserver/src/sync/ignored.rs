//! Whom a user ignores: their messages are left out of timelines; state events are not. And whose invites they want to
//! see.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use serde::{Deserialize, de::IgnoredAny};

use super::Sync;
use crate::{
    cache::Cache,
    rooms::{INVITE_PERMISSION, InviteRules, Permission},
    storage::{self, EventNr, Pos, Result, RoomNr, UserNr, member::OfUser},
};

/// Lists in memory, each as of a position.
pub(super) struct Ignored(Cache<UserNr, List>);

#[derive(Clone)]
struct List {
    /// All account data up to here was known when it was read.
    as_of: Pos,
    /// It names users who were nobody then: when they are looked up again.
    again: Option<Instant>,
    users: Arc<HashSet<UserNr>>,
    invites: Arc<InviteRules>,
}

pub const IGNORED_USERS: &str = "m.ignored_user_list";
/// A user ignores so many at most; of a longer list the first count.
const MOST_IGNORED: usize = 5_000;
/// For how long somebody who was nobody is taken for nobody still.
const NOBODY_FOR: Duration = Duration::from_secs(30);
/// In bytes.
const CAPACITY: u64 = 16 << 20;

/// The content of `m.ignored_user_list`.
#[derive(Deserialize)]
struct Content {
    #[serde(default)]
    ignored_users: BTreeMap<String, IgnoredAny>,
}

impl Ignored {
    pub fn new() -> Self {
        let weigh = |_: &UserNr, list: &List| {
            u32::try_from(256 + list.users.len() * 16 + list.invites.size()).unwrap_or(u32::MAX)
        };
        Self(Cache::weighed(CAPACITY, weigh))
    }
}

/// Whether a content of `m.ignored_user_list` names no more users than one may ignore.
pub fn is_short(content: &str) -> bool {
    // What is no list at all names nobody.
    serde_json::from_str(content).map_or(true, |content: Content| content.ignored_users.len() <= MOST_IGNORED)
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
            && list.again.is_none_or(|again| Instant::now() < again)
        {
            return Ok(list);
        }
        let kinds = [&[IGNORED_USERS][..], &INVITE_PERMISSION].concat();
        let pieces = storage::account_data::of_users(&inner.pool, &[user], &kinds).await?;
        let invites = InviteRules::read(pieces.iter().map(|(_, kind, json)| (kind.as_str(), json.as_str())));
        let json = pieces.iter().find(|(_, kind, _)| kind == IGNORED_USERS).map(|(.., json)| json.as_str());
        let users = json.map(names).unwrap_or_default();
        let names: Vec<&str> = users.iter().map(|name| &**name).collect();
        // Whoever has no number has never been anywhere, and gets none by being ignored.
        let found = inner.rooms.interner().find_many(names.iter().copied()).await?;
        let again = (found.len() < names.len()).then(|| Instant::now() + NOBODY_FOR);
        let users = Arc::new(found.into_values().collect::<HashSet<_>>());
        let list = List { as_of, again, users, invites: Arc::new(invites) };
        inner.ignored.0.insert(user, list.clone());
        Ok(list)
    }
}

/// The user IDs in the content; what is none is passed over, as clients write what they like.
fn names(json: &str) -> Vec<String> {
    let content: Option<Content> = serde_json::from_str(json).ok();
    let names = content.into_iter().flat_map(|content| content.ignored_users.into_keys());
    names.filter(|name| <&ruma::UserId>::try_from(name.as_str()).is_ok()).take(MOST_IGNORED).collect()
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
