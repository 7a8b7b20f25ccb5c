//! How far users have read: receipts, and the fully-read marker.
//!
//! Source: client-server API, "Receipts" and "Fully read markers".
//!
//! **Invariant:** neither moves backwards in the room's history.

use std::sync::Arc;

use ruma::{EventId, OwnedEventId, RoomId};
use serde::Deserialize;

use super::{Rooms, StoredEvent};
use crate::{
    clock, log,
    storage::{
        self, Membership, RoomNr, UserNr,
        commit::{AccountDataWrite, ReceiptWrite},
    },
};

/// Which timeline a receipt is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Thread {
    /// All of them.
    Unthreaded,
    /// What is in no thread.
    Main,
    /// The thread with this root.
    Root(OwnedEventId),
}

impl Thread {
    fn as_str(&self) -> &str {
        match self {
            Self::Unthreaded => "",
            Self::Main => "main",
            Self::Root(root) => root.as_str(),
        }
    }
}

/// A receipt to be set.
#[derive(Debug, Clone)]
pub struct Receipt {
    /// `m.read.private`.
    pub private: bool,
    pub thread: Thread,
    pub event_id: OwnedEventId,
}

/// Why a marker is not set.
#[derive(Debug, thiserror::Error)]
pub enum ReceiptError {
    #[error("the user is not in the room")]
    NotJoined,
    #[error("the room has no event {0}")]
    UnknownEvent(OwnedEventId),
    #[error("the event {0} is not in that thread")]
    NotInThread(OwnedEventId),
    #[error(transparent)]
    Storage(#[from] storage::Error),
    #[error(transparent)]
    Log(#[from] log::Error),
}

/// The room account data that keeps the fully-read marker.
pub const FULLY_READ: &str = "m.fully_read";

impl Rooms {
    /// Sets the user's receipts and fully-read marker, each unless it would move backwards; one commit for all.
    ///
    /// # Errors
    /// See [`ReceiptError`]: nothing is set then.
    pub async fn mark_read(
        &self,
        user: UserNr,
        room_id: &RoomId,
        receipts: &[Receipt],
        fully_read: Option<&EventId>,
    ) -> Result<(), ReceiptError> {
        let room = self.find(room_id).await?.ok_or(ReceiptError::NotJoined)?;
        if self.membership(room.nr, user).await? != Some(Membership::Join) {
            return Err(ReceiptError::NotJoined);
        }
        // Two requests of one user for one room take turns, so that the later one can't end up behind the earlier.
        let _turn = self.0.caches.turns.take(user, room.nr).await;
        let mut writes = log::Writes::default();
        if !receipts.is_empty() {
            let known = storage::receipt::of_user(&self.0.pool, room.nr, user).await?;
            for receipt in receipts {
                let event = self.event_to_mark(room.nr, &receipt.event_id).await?;
                let belongs = match &receipt.thread {
                    Thread::Unthreaded => true,
                    Thread::Main => self.is_in_thread(&event, None).await?,
                    Thread::Root(root) => self.is_in_thread(&event, Some(root.as_str())).await?,
                };
                if !belongs {
                    return Err(ReceiptError::NotInThread(receipt.event_id.clone()));
                }
                let behind = known
                    .iter()
                    .filter(|k| (k.kind == 2) == receipt.private && k.thread == receipt.thread.as_str())
                    .any(|k| k.ord >= event.ord);
                if !behind {
                    writes.receipts.push(ReceiptWrite {
                        room: room.nr,
                        user,
                        private: receipt.private,
                        thread: receipt.thread.as_str().into(),
                        event_id: Arc::clone(&event.id),
                        event_pos: event.pos,
                        ts: clock::now_ms(),
                    });
                }
            }
        }
        if let Some(event_id) = fully_read {
            let event = self.event_to_mark(room.nr, event_id).await?;
            if self.fully_read(room.nr, user).await?.is_none_or(|known| known.ord < event.ord) {
                let json = serde_json::json!({ "event_id": &*event.id }).to_string().into();
                writes.account_data.push(AccountDataWrite { user, room: room.nr, kind: FULLY_READ.into(), json });
            }
        }
        if !writes.receipts.is_empty() || !writes.account_data.is_empty() {
            self.0.log.write(writes).await?;
        }
        Ok(())
    }

    /// The event that the user's fully-read marker stands on.
    async fn fully_read(&self, room: RoomNr, user: UserNr) -> storage::Result<Option<Arc<StoredEvent>>> {
        #[derive(Deserialize)]
        struct Content {
            event_id: String,
        }
        let json = storage::account_data::get(&self.0.pool, user, room, FULLY_READ).await?;
        match json.and_then(|json| serde_json::from_str::<Content>(&json).ok()) {
            Some(content) => self.event_by_id(room, &content.event_id).await,
            None => Ok(None),
        }
    }

    /// The event, if it stands in the room's history.
    async fn event_to_mark(&self, room: RoomNr, event_id: &EventId) -> Result<Arc<StoredEvent>, ReceiptError> {
        let event = self.event_by_id(room, event_id.as_str()).await?;
        event.filter(|event| event.ord.is_some()).ok_or_else(|| ReceiptError::UnknownEvent(event_id.to_owned()))
    }
}
