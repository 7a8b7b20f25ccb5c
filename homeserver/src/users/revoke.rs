//! Changes of users, each in one commit with its notice: taking access away above all.

use super::{Requester, Users};
use crate::{
    log::{self, Writes},
    storage::{
        DeviceNr, UserNr,
        user_change::{Became, UserChange, UserWrite},
    },
};

impl Users {
    /// Commits a change with its notice; returns when this node's own caches have dropped what it made stale. Whoever stops
    /// waiting leaves nothing half-done.
    pub(super) async fn change(&self, user: UserNr, change: UserChange) -> Result<Became, log::Error> {
        let users = vec![UserWrite { user, change }];
        let written = self.0.writer.write(Writes { users, ..Writes::default() }).await;
        // The slice may wait behind one that this node has not seen yet.
        self.0.tokens.drop_user(user);
        Ok(written?.changed.first().copied().unwrap_or(Became::Absent))
    }

    /// Deletes devices with their tokens, keys and queued messages. Those that are not there are passed over.
    ///
    /// # Errors
    /// The log's own.
    pub async fn delete_devices(&self, user: UserNr, device_ids: &[String]) -> Result<(), log::Error> {
        self.change(user, UserChange::LogOut { named: Some(device_ids.to_vec()), keep: None }).await.map(|_| ())
    }

    /// As [`Self::delete_devices`], for all devices but `keep`.
    ///
    /// # Errors
    /// The log's own.
    pub async fn delete_other_devices(&self, user: UserNr, keep: Option<DeviceNr>) -> Result<(), log::Error> {
        self.change(user, UserChange::LogOut { named: None, keep }).await.map(|_| ())
    }

    /// Logs the requester's own device out.
    ///
    /// # Errors
    /// The log's own.
    pub async fn log_out(&self, requester: &Requester) -> Result<(), log::Error> {
        self.delete_devices(requester.user, &[requester.device_id.to_string()]).await
    }
}
