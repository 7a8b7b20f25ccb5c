//! A transaction ID is good for one event.

use std::sync::Arc;

use tokio::sync::OnceCell;

use super::{Rooms, WriteError};
use crate::{
    cache::Cache,
    storage::{self, commit::TxnKey},
};

/// Transactions under way and just done. Older ones are known to the database, which says so in the commit itself.
pub(super) type RecentTxns = Cache<TxnKey, Arc<OnceCell<Arc<str>>>>;

pub(super) fn recent_txns() -> RecentTxns {
    Cache::new(20_000)
}

impl Rooms {
    /// Does `act` unless the transaction `key` has created an event; returns that event's ID in either case.
    ///
    /// Of several calls at once one acts, and the others get its event.
    pub(super) async fn once<F>(&self, key: TxnKey, act: F) -> Result<Arc<str>, WriteError>
    where
        F: Future<Output = Result<Arc<str>, WriteError>>,
    {
        let cell = self.0.caches.recent_txns.get_with(key, Arc::default);
        let done = cell.get_or_try_init(|| async {
            match act.await {
                // What was allowed then may be forbidden now: the answer is still what it was.
                Err(
                    refused @ (WriteError::Rejected(_) | WriteError::UnknownEvent | WriteError::DuplicateAnnotation),
                ) => {
                    let known = storage::txn::find(&self.0.pool, &key).await?;
                    known.map(Arc::from).ok_or(refused)
                }
                outcome => outcome,
            }
        });
        done.await.cloned()
    }
}
