//! Who is typing: from memory, by this node's stamps.

use std::collections::HashMap;

use super::{Sync, Token};
use crate::storage::{RoomNr, UserNr};

/// What the client does not know yet.
#[derive(Debug, Default)]
pub(super) struct Typing {
    pub rooms: HashMap<RoomNr, Vec<UserNr>>,
    /// This node's stamp.
    pub stamp: u64,
    pub node: i64,
}

impl Sync {
    pub(super) fn typing(&self, _rooms: &[RoomNr], _since: Option<&Token>) -> Typing {
        Typing::default()
    }

    pub(super) fn is_typing_touched(&self, _rooms: &[RoomNr], _since: &Token) -> bool {
        false
    }
}
