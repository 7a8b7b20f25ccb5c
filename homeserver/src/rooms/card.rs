//! Rooms as others see them from outside: what the directory, summaries and spaces show.
//!
//! **Invariant:** a card is made of one state and kept with its number; an equal number is an equal state, and what a
//! redaction takes out of its events drops the card, so nothing here is ever stale that is shown.

use std::{collections::HashMap, sync::Arc};

use ruma::OwnedRoomId;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Doubted, Room, Rooms, StateKey, StateMap, StoredEvent};
use crate::{
    cache::Cache,
    log::{Apply, Slice},
    storage::{self, EventNr, FrameNr, Membership, Result, RoomNr, Sym, UserNr},
};

/// What is said of a room to who is not in it. Written as the protocol has it.
#[derive(Debug, Clone, Serialize)]
pub struct Card {
    pub room_id: OwnedRoomId,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub avatar_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canonical_alias: Option<String>,
    pub num_joined_members: i64,
    pub world_readable: bool,
    pub guest_can_join: bool,
    pub join_rule: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub room_type: Option<String>,
    #[serde(skip)]
    pub outside: Outside,
}

/// What only summaries and spaces tell.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Outside {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allowed_room_ids: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encryption: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub room_version: Option<&'static str>,
}

/// Rooms whose cards are remembered.
const CARDS: u64 = 20_000;

/// Cards by room, each with the state that it was made of. Follows the log.
pub(super) struct Cards(Doubted<RoomNr, (FrameNr, Arc<Card>)>);

impl Cards {
    pub fn new() -> Self {
        Self(Doubted::new(Cache::new(CARDS)))
    }
}

impl Apply for Cards {
    fn apply(&self, slice: &Slice, _own: bool) {
        match &slice.events {
            Some(events) => events.iter().filter(|e| e.redacts.is_some()).for_each(|e| self.0.doubt(e.room)),
            None => slice.rooms.iter().for_each(|room| self.0.doubt(*room)),
        }
    }
}

/// The state that a card is made of.
const KEYS: [StateKey; 9] = [
    StateKey::of(Sym::CREATE),
    StateKey::of(Sym::NAME),
    StateKey::of(Sym::TOPIC),
    StateKey::of(Sym::AVATAR),
    StateKey::of(Sym::CANONICAL_ALIAS),
    StateKey::of(Sym::JOIN_RULES),
    StateKey::of(Sym::HISTORY_VISIBILITY),
    StateKey::of(Sym::GUEST_ACCESS),
    StateKey::of(Sym::ENCRYPTION),
];

impl Rooms {
    /// The cards of `rooms`, of their current states; a few queries at most for all of them.
    ///
    /// # Errors
    /// The database's own.
    pub async fn cards(&self, rooms: &[RoomNr]) -> Result<HashMap<RoomNr, Arc<Card>>> {
        if rooms.is_empty() {
            return Ok(HashMap::new());
        }
        self.cards_of(&storage::room::frames(&self.0.pool, rooms).await?).await
    }

    /// The cards of rooms in these states.
    pub(super) async fn cards_of(&self, rooms: &[(RoomNr, FrameNr)]) -> Result<HashMap<RoomNr, Arc<Card>>> {
        let (mut found, mut missing) = (HashMap::with_capacity(rooms.len()), Vec::new());
        for (room, frame) in rooms {
            match self.0.caches.cards.0.get(*room) {
                Some((of, card)) if of == *frame => drop(found.insert(*room, card)),
                _ => missing.push((*room, *frame)),
            }
        }
        if missing.is_empty() {
            return Ok(found);
        }
        let ticket = self.0.caches.cards.0.ticket();
        let numbers: Vec<RoomNr> = missing.iter().map(|(room, _)| *room).collect();
        let known = self.find_many(&numbers).await?;
        let frames = self.state_many(&missing.iter().map(|(_, frame)| *frame).collect::<Vec<_>>()).await?;
        let counts: HashMap<RoomNr, i64> =
            storage::member::joined_counts(&self.0.pool, &numbers).await?.into_iter().collect();
        let wanted: Vec<EventNr> =
            frames.iter().flat_map(|frame| KEYS.iter().filter_map(|key| frame.state.get(key).copied())).collect();
        let events: HashMap<EventNr, Arc<StoredEvent>> =
            self.events(&wanted).await?.into_iter().map(|event| (event.nr, event)).collect();
        for ((nr, of), frame) in missing.into_iter().zip(frames) {
            let Some(room) = known.get(&nr) else { continue };
            let card = card(room, &frame.state, &events, counts.get(&nr).copied().unwrap_or(0));
            let card = Arc::new(card);
            self.0.caches.cards.0.keep(ticket, nr, (of, Arc::clone(&card)));
            found.insert(nr, card);
        }
        Ok(found)
    }

    /// Whether `user` (or somebody unknown) may know of the room from outside: who is in it or invited, whoever could join
    /// or knock, and anybody where it is open to the world.
    ///
    /// # Errors
    /// The database's own.
    pub async fn may_know(&self, user: Option<UserNr>, room: RoomNr, card: &Card) -> Result<bool> {
        if card.world_readable || matches!(card.join_rule.as_str(), "public" | "knock" | "knock_restricted") {
            return Ok(true);
        }
        let Some(user) = user else { return Ok(false) };
        let memberships = self.memberships(user).await?;
        if memberships.of(room).is_some_and(|m| matches!(m.membership, Membership::Join | Membership::Invite)) {
            return Ok(true);
        }
        if card.join_rule == "restricted" {
            for allowed in &card.outside.allowed_room_ids {
                let Ok(allowed) = ruma::RoomId::parse(allowed) else { continue };
                if let Some(allowed) = self.find(&allowed).await?
                    && memberships.joined.contains(&allowed.nr)
                {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}

#[cfg(test)]
impl Card {
    /// What tests of lists show.
    pub fn of_test(json: &Value) -> Self {
        let text = |key: &str| json[key].as_str().map(str::to_owned);
        Self {
            room_id: text("room_id").and_then(|id| id.parse().ok()).expect("a room ID"),
            name: text("name"),
            topic: None,
            avatar_url: None,
            canonical_alias: None,
            num_joined_members: json["num_joined_members"].as_i64().unwrap_or(0),
            world_readable: false,
            guest_can_join: false,
            join_rule: "public".to_owned(),
            room_type: text("room_type"),
            outside: Outside::default(),
        }
    }
}

fn card(room: &Room, state: &StateMap, events: &HashMap<EventNr, Arc<StoredEvent>>, joined: i64) -> Card {
    let content = |kind: Sym| -> Value {
        let event = state.get(&StateKey::of(kind)).and_then(|nr| events.get(nr));
        event.and_then(|event| serde_json::from_str(event.content()).ok()).unwrap_or_default()
    };
    let text = |kind: Sym, key: &str| content(kind)[key].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let join_rules = content(Sym::JOIN_RULES);
    let join_rule = join_rules["join_rule"].as_str().unwrap_or("invite").to_owned();
    let restricted = matches!(join_rule.as_str(), "restricted" | "knock_restricted");
    Card {
        room_id: room.id.clone(),
        name: text(Sym::NAME, "name"),
        topic: topic(&content(Sym::TOPIC)),
        avatar_url: text(Sym::AVATAR, "url"),
        canonical_alias: text(Sym::CANONICAL_ALIAS, "alias"),
        num_joined_members: joined,
        world_readable: text(Sym::HISTORY_VISIBILITY, "history_visibility").as_deref() == Some("world_readable"),
        guest_can_join: text(Sym::GUEST_ACCESS, "guest_access").as_deref() == Some("can_join"),
        join_rule,
        room_type: text(Sym::CREATE, "type"),
        outside: Outside {
            allowed_room_ids: if restricted { allowed(&join_rules) } else { Vec::new() },
            encryption: text(Sym::ENCRYPTION, "algorithm"),
            room_version: Some(room.rules.version.as_str()),
        },
    }
}

/// The plain text of an `m.room.topic`, wherever it stands.
fn topic(content: &Value) -> Option<String> {
    #[derive(Deserialize)]
    struct Representation {
        body: String,
        mimetype: Option<String>,
    }
    let rich: Vec<Representation> = serde_json::from_value(content["m.topic"]["m.text"].clone()).unwrap_or_default();
    let is_plain = |text: &Representation| text.mimetype.as_deref().is_none_or(|mime| mime == "text/plain");
    let plain = rich.into_iter().find(is_plain).map(|text| text.body);
    plain.or_else(|| content["topic"].as_str().map(str::to_owned)).filter(|text| !text.is_empty())
}

/// The rooms whose members may join.
fn allowed(join_rules: &Value) -> Vec<String> {
    let rooms = join_rules["allow"].as_array().into_iter().flatten();
    let rooms = rooms.filter(|rule| rule["type"] == "m.room_membership");
    rooms.filter_map(|rule| rule["room_id"].as_str().map(str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_topic_is_found_in_either_place() {
        let rich = json!({"topic": "old", "m.topic": {"m.text": [
            {"body": "<b>x</b>", "mimetype": "text/html"}, {"body": "x"}]}});
        assert_eq!(topic(&rich).as_deref(), Some("x"));
        assert_eq!(topic(&json!({"topic": "old"})).as_deref(), Some("old"));
        assert_eq!(topic(&json!({"topic": "", "m.topic": 1})), None);
    }

    #[test]
    fn only_memberships_are_conditions() {
        let rules = json!({"join_rule": "restricted", "allow": [
            {"type": "m.room_membership", "room_id": "!a:s"}, {"type": "org.example.payment"}, 7]});
        assert_eq!(allowed(&rules), ["!a:s"]);
        assert!(allowed(&json!({})).is_empty());
    }
}
