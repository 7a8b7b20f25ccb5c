//! Taking access away, and telling the nodes.

use super::{Requester, UserError, Users};
use crate::{
    log::{self, Notice, Writes},
    storage::{self, DeviceNr, UserNr},
};

impl Users {
    /// Tells all nodes to forget what they know of the account. Returns when this node has.
    ///
    /// # Errors
    /// The log's own. What was taken out of the database is out all the same, and every node notices within a second.
    pub async fn tell_nodes(&self, user: UserNr) -> Result<(), log::Error> {
        let notices = vec![Notice::User(user)];
        let told = self.0.writer.write(Writes { notices, ..Writes::default() }).await;
        // The slice may wait behind one that this node has not seen yet.
        self.0.tokens.drop_user(user);
        told.map(|_| ())
    }

    /// Tells everybody who shares a room with the user that the device list is another one.
    pub(super) async fn announce_devices(&self, user: UserNr) -> Result<(), UserError> {
        let wake_rooms = storage::member::joined_rooms(&self.0.pool, user).await?;
        let writes =
            Writes { device_changes: vec![user], wake_rooms, notices: vec![Notice::User(user)], ..Writes::default() };
        let told = self.0.writer.write(writes).await;
        self.0.tokens.drop_user(user);
        told?;
        Ok(())
    }

    /// Deletes devices with their tokens, keys and queued messages. Those that are not there are passed over.
    ///
    /// # Errors
    /// See [`UserError`].
    pub async fn delete_devices(&self, user: UserNr, device_ids: &[String]) -> Result<(), UserError> {
        match storage::device::delete_named(&self.0.pool, user, device_ids).await? {
            0 => Ok(()),
            _ => self.announce_devices(user).await,
        }
    }

    /// As [`Self::delete_devices`], for all devices but `keep`.
    ///
    /// # Errors
    /// See [`UserError`].
    pub async fn delete_other_devices(&self, user: UserNr, keep: Option<DeviceNr>) -> Result<(), UserError> {
        match storage::device::delete_others(&self.0.pool, user, keep).await? {
            0 => Ok(()),
            _ => self.announce_devices(user).await,
        }
    }

    /// Logs the requester's own device out.
    ///
    /// # Errors
    /// See [`UserError`].
    pub async fn log_out(&self, requester: &Requester) -> Result<(), UserError> {
        self.delete_devices(requester.user, &[requester.device_id.to_string()]).await
    }
}
