//! Leaving the rooms of deactivated users.
//!
//! Whoever deactivates, on a node or by the command line, only notes that rooms are to be left; a node does it, and does
//! it again where one went down halfway.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Account;
use crate::rooms::{Author, WriteError};

/// How often it is looked for without a word from anybody.
const WITHOUT_NOTICE: Duration = Duration::from_secs(60 * 60);
/// Notices come in swarms: one look is enough for those of this time.
const SWARM: Duration = Duration::from_millis(200);

impl Account {
    /// Leaves the rooms of deactivated users, until `shutdown`.
    pub async fn departures(self, shutdown: CancellationToken) {
        loop {
            if let Err(error) = self.leave_rooms().await {
                tracing::warn!(%error, "can't leave the rooms of a deactivated user yet");
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = self.0.tokens.noticed() => {}
                () = tokio::time::sleep(WITHOUT_NOTICE) => {}
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(SWARM) => {}
            }
        }
    }

    async fn leave_rooms(&self) -> Result<(), WriteError> {
        for (nr, id) in self.0.users.leaving().await? {
            self.0.rooms.leave_all(&Author { nr, id }).await?;
            self.0.users.left(nr).await?;
        }
        Ok(())
    }
}
