//! Who reads, and what they want to see.

use std::sync::Arc;

use ruma::OwnedUserId;

use super::Filter;
use crate::storage::{DeviceNr, UserNr};

/// A device that asks.
pub(super) struct Reader {
    pub user: UserNr,
    pub user_id: OwnedUserId,
    pub device: DeviceNr,
    pub filter: Arc<Filter>,
    pub full_state: bool,
    pub state_after: StateAfter,
}

/// Whether the client wants the state at the end of the timeline instead of the one at its beginning, and by which name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum StateAfter {
    #[default]
    No,
    Stable,
    /// `org.matrix.msc4222.state_after`
    Unstable,
}
