//! `PUT /sendToDevice/{eventType}/{txnId}`

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use ruma::OwnedUserId;
use serde_json::value::RawValue;

use super::Keys;
use crate::{
    log::{self, Writes},
    storage::{
        self, DeviceNr, UserNr,
        commit::{ToDeviceWrite, TxnKey},
        device,
    },
    users::Requester,
};

/// Contents by user and device; the device `*` stands for all devices of the user.
pub type Messages = BTreeMap<OwnedUserId, BTreeMap<String, Box<RawValue>>>;

/// Why messages were not queued.
#[derive(Debug, thiserror::Error)]
pub enum SendToDeviceError {
    #[error("a message of {0} bytes is larger than the 65536 that an event may have")]
    TooLarge(usize),
    #[error(transparent)]
    Storage(#[from] storage::Error),
    #[error(transparent)]
    Log(#[from] log::Error),
}

const MAX_BYTES: usize = 65_536;

impl Keys {
    /// Queues messages for devices, once a `txn`: a repeated request queues nothing. Unknown users and devices are passed
    /// over, as their devices may have been deleted a moment ago.
    ///
    /// # Errors
    /// See [`SendToDeviceError`].
    pub async fn send_to_device(
        &self,
        sender: &Requester,
        kind: &str,
        txn: TxnKey,
        messages: &Messages,
    ) -> Result<(), SendToDeviceError> {
        let users = self.local_numbers(messages.keys().map(AsRef::as_ref)).await?;
        let numbers: Vec<UserNr> = users.iter().map(|u| u.0).collect();
        let mut devices: HashMap<UserNr, Vec<(String, DeviceNr)>> = HashMap::new();
        for (user, device_id, nr) in device::of_users(&self.0.pool, &numbers).await? {
            devices.entry(user).or_default().push((device_id, nr));
        }
        let envelope = envelope(sender, kind);
        let mut queued: Vec<(UserNr, DeviceNr, Arc<str>)> = Vec::new();
        for (user, user_id) in users {
            let (Some(contents), Some(devices)) = (messages.get(user_id), devices.get(&user)) else { continue };
            for (device_id, content) in contents {
                let event: Arc<str> = format!("{envelope}{}}}", content.get()).into();
                if event.len() > MAX_BYTES {
                    return Err(SendToDeviceError::TooLarge(event.len()));
                }
                let meant = devices.iter().filter(|(id, _)| device_id == "*" || id == device_id);
                queued.extend(meant.map(|(_, nr)| (user, *nr, Arc::clone(&event))));
            }
        }
        if !queued.is_empty() {
            self.make_room(&queued).await?;
            let to_device = vec![ToDeviceWrite { txn: Some(txn), messages: queued }];
            self.0.log.write(Writes { to_device, ..Writes::default() }).await?;
        }
        Ok(())
    }
}

/// The event up to its content.
fn envelope(sender: &Requester, kind: &str) -> String {
    let kind = serde_json::Value::from(kind);
    let sender = serde_json::Value::from(sender.user_id.as_str());
    format!("{{\"type\":{kind},\"sender\":{sender},\"content\":")
}
