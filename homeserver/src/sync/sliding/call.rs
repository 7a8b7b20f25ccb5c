//! A request on its way through the parts of sliding sync.

use super::{super::reader::Reader, SlidingRequest, connection::Name};
use crate::storage::Pos;

/// A request on its way.
pub(super) struct Call {
    pub reader: Reader,
    pub name: Name,
    pub request: SlidingRequest,
    /// Stands for the request, apart from what differs each time.
    pub asked: u64,
    /// The client has received the messages to its device up to here.
    pub messages: Pos,
}
