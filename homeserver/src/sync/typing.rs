//! Who is typing: from memory, by this node's stamps.

use std::collections::HashMap;

use super::{Sync, Token};
use crate::{
    presence::{Positions, Since},
    storage::{RoomNr, UserNr},
};

/// What the client does not know yet.
#[derive(Debug, Default)]
pub(super) struct Typing {
    /// Everybody who types in a room now.
    pub rooms: HashMap<RoomNr, Vec<UserNr>>,
    /// This node's stamp.
    pub stamp: u64,
    pub node: i64,
    pub positions: Positions,
}

impl Sync {
    /// What the client, whose token it is, does not know.
    pub(super) fn typing(&self, rooms: &[RoomNr], since: Option<&Token>) -> Typing {
        let presence = &self.0.presence;
        // Before it is looked.
        let (stamp, positions) = (presence.stamp(), presence.positions());
        let changes = presence.typing(rooms, &self.known(since));
        // To a client that knows nothing, nobody typing is no news.
        let news = changes.into_iter().filter(|(_, users)| since.is_some() || !users.is_empty());
        Typing { rooms: news.collect(), stamp, node: presence.node(), positions }
    }

    /// Whether somebody began or stopped to type after the client's token.
    pub(super) fn is_typing_touched(&self, rooms: &[RoomNr], since: &Token) -> bool {
        !self.0.presence.typing(rooms, &self.known(Some(since))).is_empty()
    }

    /// What a client with this token knows of what does not last.
    pub(super) fn known(&self, since: Option<&Token>) -> Since {
        let of = |token: &Token| self.0.presence.since(token.node, token.ephemeral, &token.positions);
        since.map_or(Since::Nothing, of)
    }
}
