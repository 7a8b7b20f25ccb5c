//! Users' names and pictures, as their memberships show them.

use std::collections::HashMap;

use roost_spec::canonical_json::{Numbers, Object, Value, parse};

use super::{Rooms, WriteError};
use crate::storage::{self, UserNr};

impl Rooms {
    /// `displayname` and `avatar_url` of one user, where they have them.
    pub(super) async fn introduction(&self, user: UserNr) -> Result<Object, WriteError> {
        Ok(self.introductions(&[user]).await?.remove(&user).unwrap_or_default())
    }

    /// `displayname` and `avatar_url` of many users, in one query.
    pub(super) async fn introductions(&self, users: &[UserNr]) -> Result<HashMap<UserNr, Object>, WriteError> {
        let mut found: HashMap<UserNr, Object> = HashMap::with_capacity(users.len());
        for (user, key, json) in storage::profile::names_of(&self.0.pool, users).await? {
            if let Ok(Value::String(text)) = parse(json.as_bytes(), Numbers::Strict) {
                found.entry(user).or_default().insert(key, Value::String(text));
            }
        }
        Ok(found)
    }
}
