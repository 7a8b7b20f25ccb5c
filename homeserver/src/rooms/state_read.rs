//! State events and members, out of a state that a reader may know.

use std::sync::Arc;

use ruma::RoomId;
use serde::Deserialize;

use super::{Room, Rooms, StateKey, StateMap, StoredEvent, state::of_kind};
use crate::storage::{EventNr, Membership, Result, Sym};

/// Which memberships are wanted. With both given, either is enough.
#[derive(Debug, Clone, Copy, Default)]
pub struct MembersAsk {
    pub only: Option<Membership>,
    pub not: Option<Membership>,
}

impl MembersAsk {
    fn takes(self, membership: Option<Membership>) -> bool {
        match (self.only, self.not) {
            (None, None) => true,
            (only, not) => (only.is_some() && membership == only) || not.is_some_and(|not| membership != Some(not)),
        }
    }
}

/// What a room knows of a member's profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    pub user_id: String,
    pub display_name: Option<String>,
    pub avatar_url: Option<String>,
}

impl Profile {
    /// Out of a membership event.
    pub fn of(event: &StoredEvent) -> Option<Self> {
        #[derive(Deserialize)]
        struct Content {
            displayname: Option<serde_json::Value>,
            avatar_url: Option<serde_json::Value>,
        }
        let text = |value: Option<serde_json::Value>| value.and_then(|v| v.as_str().map(str::to_owned));
        let content = event.read_content::<Content>();
        let (display_name, avatar_url) = content.map_or((None, None), |c| (text(c.displayname), text(c.avatar_url)));
        Some(Self { user_id: event.state_key_text()?.into_owned(), display_name, avatar_url })
    }
}

impl Rooms {
    /// The state event of a type with a state key.
    ///
    /// # Errors
    /// The database's own.
    pub async fn state_event(&self, state: &StateMap, kind: &str, key: &str) -> Result<Option<Arc<StoredEvent>>> {
        let (kind, key) = (self.0.interner.find(kind).await?, self.0.interner.find(key).await?);
        // A text without a number occurs in no state.
        let Some(nr) = kind.zip(key).and_then(|(kind, key)| state.get(&StateKey::new(kind, key))) else {
            return Ok(None);
        };
        Ok(Some(self.event(*nr).await?))
    }

    /// The room that `room` takes the place of, as its create event says, if this server knows it.
    ///
    /// # Errors
    /// The database's own.
    pub async fn predecessor(&self, room: &Room) -> Result<Option<Arc<Room>>> {
        let state = self.current_state(room).await?;
        let create = self.state_pdu(room, &state, StateKey::of(Sym::CREATE)).await?;
        let before = create.as_ref().and_then(|event| event.content().get_object("predecessor")?.get_str("room_id"));
        match before.and_then(|id| RoomId::parse(id).ok()) {
            Some(id) => self.find(&id).await,
            None => Ok(None),
        }
    }

    /// All events of a state.
    ///
    /// # Errors
    /// The database's own.
    pub async fn state_events(&self, state: &StateMap) -> Result<Vec<Arc<StoredEvent>>> {
        self.events(&state.values().copied().collect::<Vec<_>>()).await
    }

    /// The membership events of a state.
    ///
    /// # Errors
    /// The database's own.
    pub async fn member_events(&self, state: &StateMap, ask: MembersAsk) -> Result<Vec<Arc<StoredEvent>>> {
        let numbers: Vec<EventNr> = of_kind(state, Sym::MEMBER).map(|(_, nr)| nr).collect();
        let mut events = self.events(&numbers).await?;
        events.retain(|event| ask.takes(event.membership));
        Ok(events)
    }

    /// The profiles of those who are joined, as the room knows them.
    ///
    /// # Errors
    /// The database's own.
    pub async fn joined_profiles(&self, state: &StateMap) -> Result<Vec<Profile>> {
        let ask = MembersAsk { only: Some(Membership::Join), not: None };
        Ok(self.member_events(state, ask).await?.iter().filter_map(|event| Profile::of(event)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_condition_is_enough() {
        let (join, leave, ban) = (Some(Membership::Join), Some(Membership::Leave), Some(Membership::Ban));
        let takes = |only, not| [join, leave, ban].map(|m| MembersAsk { only, not }.takes(m));
        assert_eq!(takes(None, None), [true, true, true]);
        assert_eq!(takes(join, None), [true, false, false]);
        assert_eq!(takes(None, leave), [true, false, true]);
        assert_eq!(takes(leave, leave), [true, true, true]);
    }
}
