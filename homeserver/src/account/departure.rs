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
/// When it is tried again after it failed.
const AFTER_FAILURE: Duration = Duration::from_secs(5);
/// Notices come in swarms: one look is enough for those of this time.
const SWARM: Duration = Duration::from_millis(200);

impl Account {
    /// Leaves the rooms of deactivated users, until `shutdown`.
    pub async fn departures(self, shutdown: CancellationToken) {
        loop {
            let pause = match self.leave_rooms().await {
                Ok(()) => WITHOUT_NOTICE,
                Err(error) => {
                    tracing::warn!(%error, "can't leave the rooms of a deactivated user yet");
                    AFTER_FAILURE
                }
            };
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = self.0.tokens.noticed() => {}
                () = tokio::time::sleep(pause) => {}
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(SWARM) => {}
            }
        }
    }

    async fn leave_rooms(&self) -> Result<(), WriteError> {
        for (nr, id) in self.0.users.leaving().await? {
            self.0.rooms.leave_all(&Author { nr, id, suspended: false }).await?;
            self.0.users.left(nr).await?;
        }
        Ok(())
    }
}
