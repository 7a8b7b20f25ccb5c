//! Who is typing: from memory, by this node's stamps.

use std::collections::HashMap;

use super::{Sync, Token};
use crate::storage::{RoomNr, UserNr};

/// What the client does not know yet.
#[derive(Debug, Default)]
pub(super) struct Typing {
    /// Everybody who types in a room now.
    pub rooms: HashMap<RoomNr, Vec<UserNr>>,
    /// This node's stamp.
    pub stamp: u64,
    pub node: i64,
}

impl Sync {
    /// What changed since the client's token; all there is where that came from another node or there is none.
    pub(super) fn typing(&self, rooms: &[RoomNr], since: Option<&Token>) -> Typing {
        let presence = &self.0.presence;
        let node = presence.node();
        let known = since.filter(|token| token.node == node).map(|token| token.ephemeral);
        // Before it is looked.
        let stamp = presence.stamp();
        let changes = presence.typing(rooms, known);
        // To a client that knows nothing, nobody typing is no news.
        let news = changes.into_iter().filter(|(_, users)| since.is_some() || !users.is_empty());
        Typing { rooms: news.collect(), stamp, node }
    }

    /// Whether somebody began or stopped to type after the client's token.
    pub(super) fn is_typing_touched(&self, rooms: &[RoomNr], since: &Token) -> bool {
        let presence = &self.0.presence;
        let known = Some(since.ephemeral).filter(|_| since.node == presence.node());
        !presence.typing(rooms, known).is_empty()
    }
}
