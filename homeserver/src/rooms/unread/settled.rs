//! Who has settings that decide about notifications: most users have none, and are not asked for.

use std::{
    collections::HashSet,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::OnceCell;

use crate::storage::{Error, Result, UserNr};

/// Users with push rules or ignored users of their own, and some who had them once. Follows the log.
#[derive(Default)]
pub(super) struct Settled {
    users: Mutex<HashSet<UserNr>>,
    /// Set once the database was asked for those of before.
    complete: OnceCell<()>,
}

impl Settled {
    /// The user's settings changed.
    pub fn add(&self, user: UserNr) {
        self.users().insert(user);
    }

    /// Those of `users` who may have settings. `read` asks for all who have; once.
    pub async fn among<F>(&self, users: &[UserNr], read: impl FnOnce() -> F) -> Result<Vec<UserNr>>
    where
        F: Future<Output = Result<Vec<UserNr>>>,
    {
        let fill = || async {
            let read = read().await?;
            self.users().extend(read);
            Ok::<(), Error>(())
        };
        self.complete.get_or_try_init(fill).await?;
        let settled = self.users();
        Ok(users.iter().copied().filter(|user| settled.contains(user)).collect())
    }

    fn users(&self) -> MutexGuard<'_, HashSet<UserNr>> {
        // A user more or less half-way in does not happen: each is added in one step.
        self.users.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
