//! One sync, by either of the two ways that a server offers: `/sync`, or sliding sync.
//!
//! **Invariant:** what a sync brought is taken from the library's own broadcast, which both ways feed.

use std::time::Duration;

use anyhow::{Result, bail};
use matrix_sdk::{
    Client, SlidingSync, SlidingSyncList, SlidingSyncMode,
    config::SyncSettings,
    ruma::{
        api::{client::sync::sync_events::v5::request, error::ErrorKind},
        events::{StateEventType, key::verification::request::ToDeviceKeyVerificationRequestEvent},
    },
    sync::RoomUpdates,
};
use serde_json::json;
use tokio::sync::broadcast::{Receiver, error::TryRecvError};

use crate::wire::report;

/// The long-poll of the sync loop.
pub const POLL: Duration = Duration::from_secs(10);
/// Rooms and events that a phone's first screen shows.
const WINDOW: u32 = 20;

pub struct Updates {
    client: Client,
    sliding: Option<SlidingSync>,
    rooms: Receiver<RoomUpdates>,
}

impl Updates {
    pub async fn new(client: &Client, sliding: bool) -> Result<Self> {
        client.add_event_handler(|event: ToDeviceKeyVerificationRequestEvent| async move {
            let content = event.content;
            report(
                "verification",
                json!({ "user": event.sender, "device": content.from_device, "flow": content.transaction_id }),
            );
        });
        let rooms = client.subscribe_to_all_room_updates();
        let sliding = if sliding { Some(window(client).await?) } else { None };
        Ok(Self { client: client.clone(), sliding, rooms })
    }

    /// One sync: its token where the way has one, and what it brought.
    pub async fn next(&mut self, timeout: Duration) -> Result<(Option<String>, Vec<RoomUpdates>)> {
        let token = match &self.sliding {
            None => Some(self.client.sync_once(SyncSettings::new().timeout(timeout)).await?.next_batch),
            Some(sliding) => {
                if let Err(error) = sliding.sync_once().await {
                    // As the library's own loop does: the next request begins a new connection.
                    if error.client_api_error_kind() == Some(&ErrorKind::UnknownPos) {
                        sliding.expire_session().await;
                    }
                    return Err(error.into());
                }
                None
            }
        };
        let mut brought = Vec::new();
        loop {
            match self.rooms.try_recv() {
                Ok(updates) => brought.push(updates),
                Err(TryRecvError::Empty) => return Ok((token, brought)),
                Err(error) => bail!("updates were lost: {error}"),
            }
        }
    }
}

/// A connection that asks for what a phone asks for.
async fn window(client: &Client) -> Result<SlidingSync> {
    let state = [
        (StateEventType::RoomEncryption, ""),
        (StateEventType::RoomMember, "$LAZY"),
        (StateEventType::RoomMember, "$ME"),
        (StateEventType::RoomName, ""),
        (StateEventType::RoomCreate, ""),
        (StateEventType::RoomPowerLevels, ""),
    ];
    let list = SlidingSyncList::builder("all")
        .sync_mode(SlidingSyncMode::new_selective().add_range(0..=WINDOW - 1))
        .timeline_limit(WINDOW)
        .required_state(state.map(|(kind, key)| (kind, key.to_owned())).to_vec());
    let mut e2ee = request::E2EE::default();
    e2ee.enabled = Some(true);
    let mut to_device = request::ToDevice::default();
    to_device.enabled = Some(true);
    Ok(client
        .sliding_sync("roost")?
        .add_list(list)
        .with_all_extensions()
        .with_e2ee_extension(e2ee)
        .with_to_device_extension(to_device)
        .poll_timeout(POLL)
        .build()
        .await?)
}
