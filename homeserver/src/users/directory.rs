//! The user directory: users of this server by their names, as far as the seeker could meet them.

use std::{collections::HashMap, sync::Arc};

use super::{Users, words};
use crate::storage::{self, UserNr};

/// A user who was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryUser {
    pub user_id: Arc<str>,
    pub display_name: Option<String>,
    pub avatar_url: Option<String>,
}

/// So many words of a name, or of what is looked for, count.
pub(super) const WORDS: usize = 16;

impl Users {
    /// Up to `limit` users, and whether there are more. Found is who shares a room with the seeker, or is in one that
    /// is listed, that anybody may join, or that is open to the world; names are those of profiles, never those of single rooms.
    ///
    /// # Errors
    /// The database's own.
    pub async fn search(
        &self,
        seeker: UserNr,
        term: &str,
        limit: usize,
    ) -> storage::Result<(Vec<DirectoryUser>, bool)> {
        let wanted = words(term, WORDS);
        // Of a user ID the localpart counts.
        let localpart = term.trim().trim_start_matches('@').split(':').next().unwrap_or_default().to_lowercase();
        if wanted.is_empty() || localpart.contains('\0') {
            return Ok((Vec::new(), false));
        }
        let most = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
        let mut found = storage::user_directory::find(&self.0.pool, seeker, &wanted, &localpart, most).await?;
        let limited = found.len() > limit;
        found.truncate(limit);
        let mut fields: HashMap<(UserNr, String), String> = HashMap::new();
        for (user, key, json) in storage::profile::names_of(&self.0.pool, &found).await? {
            if let Ok(text) = serde_json::from_str(&json) {
                fields.insert((user, key), text);
            }
        }
        let names = self.0.interner.texts(&found).await?;
        let mut field = |user: UserNr, key: &str| fields.remove(&(user, key.to_owned()));
        let found = found.into_iter().filter_map(|user| {
            Some(DirectoryUser {
                user_id: Arc::clone(names.get(&user)?),
                display_name: field(user, "displayname"),
                avatar_url: field(user, "avatar_url"),
            })
        });
        Ok((found.collect(), limited))
    }
}
