//! Spaces: the rooms below a room, as far as a user may know of them.
//!
//! Source: client-server API, "Spaces". The tree is walked depth first, a space's children in the order that it gives
//! them; a page's token says how many rooms came before it.

use std::{collections::HashSet, fmt, str::FromStr, sync::Arc};

use ruma::{OwnedRoomId, RoomId};
use serde::Deserialize;

use super::{NotAToken, Room, Rooms, StoredEvent, access::ReadError, card::Card, state::of_kind};
use crate::storage::{self, EventNr, Sym, UserNr};

/// Which part of a space is wanted.
#[derive(Debug, Clone, Copy)]
pub struct HierarchyAsk {
    pub limit: usize,
    pub max_depth: Option<u64>,
    pub suggested_only: bool,
    pub from: Option<Place>,
}

/// Where a page begins, and what was asked for on the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    skip: usize,
    max_depth: Option<u64>,
    suggested_only: bool,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let depth = self.max_depth.map_or(String::new(), |depth| depth.to_string());
        write!(f, "h{}_{depth}_{}", self.skip, u8::from(self.suggested_only))
    }
}

impl FromStr for Place {
    type Err = NotAToken;

    fn from_str(text: &str) -> Result<Self, NotAToken> {
        let mut parts = text.strip_prefix('h').ok_or(NotAToken)?.split('_');
        let mut next = || parts.next().ok_or(NotAToken);
        let skip = next()?.parse::<u16>().map_err(|_| NotAToken)?;
        let max_depth = match next()? {
            "" => None,
            depth => Some(depth.parse().map_err(|_| NotAToken)?),
        };
        let suggested_only = match next()? {
            "0" => false,
            "1" => true,
            _ => return Err(NotAToken),
        };
        Ok(Self { skip: usize::from(skip), max_depth, suggested_only })
    }
}

/// A room of the tree.
#[derive(Debug, Clone)]
pub struct Node {
    pub card: Arc<Card>,
    /// The valid `m.space.child` events of a space, in its order.
    pub children: Vec<Arc<StoredEvent>>,
}

/// A part of a tree.
#[derive(Debug, Clone)]
pub struct Hierarchy {
    pub rooms: Vec<Node>,
    pub next: Option<Place>,
}

/// Why a hierarchy is not shown.
#[derive(Debug, thiserror::Error)]
pub enum HierarchyError {
    #[error("`suggested_only` and `max_depth` can't change from one page to the next")]
    Changed,
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl From<storage::Error> for HierarchyError {
    fn from(error: storage::Error) -> Self {
        Self::Read(error.into())
    }
}

/// So many rooms of a tree are looked at, whatever it holds.
const MOST: usize = 1000;
/// `order` of a child is a string of at most so many printable ASCII characters; others count as none.
const MAX_ORDER: usize = 50;

impl Rooms {
    /// A part of the tree below `root`.
    ///
    /// # Errors
    /// [`ReadError::Forbidden`] where the user may not know of the root.
    pub async fn hierarchy(&self, user: UserNr, root: &RoomId, ask: HierarchyAsk) -> Result<Hierarchy, HierarchyError> {
        let HierarchyAsk { limit, max_depth, suggested_only, .. } = ask;
        let skip = match ask.from {
            Some(from) if (from.max_depth, from.suggested_only) != (max_depth, suggested_only) => {
                // Who says nothing on a later page means what they said on the first.
                if max_depth.is_some() || suggested_only {
                    return Err(HierarchyError::Changed);
                }
                from
            }
            Some(from) => from,
            None => Place { skip: 0, max_depth, suggested_only },
        };
        let root = self.find(root).await?.ok_or(ReadError::Forbidden)?;
        let mut stack = vec![(root.id.clone(), 0_u64)];
        let (mut visited, mut looked_at, mut shown) = (HashSet::new(), 0_usize, 0_usize);
        let mut rooms = Vec::new();
        while let Some((id, depth)) = stack.pop() {
            looked_at += 1;
            if looked_at > MOST || !visited.insert(id.clone()) {
                continue;
            }
            let Some((room, card)) = self.known_to(user, &id).await? else {
                if depth == 0 {
                    return Err(ReadError::Forbidden.into());
                }
                continue;
            };
            if rooms.len() == limit {
                let next = Some(Place { skip: shown, ..skip });
                return Ok(Hierarchy { rooms, next });
            }
            let children = match card.room_type.as_deref() {
                Some("m.space") => self.space_children(&room, skip.suggested_only).await?,
                _ => Vec::new(),
            };
            if skip.max_depth.is_none_or(|most| depth < most) {
                let ids = children.iter().rev().filter_map(|child| RoomId::parse(&*child.state_key_text()?).ok());
                stack.extend(ids.map(|id: OwnedRoomId| (id, depth + 1)));
            }
            shown += 1;
            if shown > skip.skip {
                rooms.push(Node { card, children });
            }
        }
        Ok(Hierarchy { rooms, next: None })
    }

    async fn known_to(&self, user: UserNr, id: &RoomId) -> storage::Result<Option<(Arc<Room>, Arc<Card>)>> {
        let Some(room) = self.find(id).await? else { return Ok(None) };
        let Some(card) = self.cards(&[room.nr]).await?.remove(&room.nr) else { return Ok(None) };
        Ok(self.may_know(Some(user), room.nr, &card).await?.then_some((room, card)))
    }

    /// The space's children in their order.
    async fn space_children(&self, room: &Room, suggested_only: bool) -> storage::Result<Vec<Arc<StoredEvent>>> {
        let state = self.current_state(room).await?;
        let numbers: Vec<EventNr> = of_kind(&state, Sym::SPACE_CHILD).map(|(_, nr)| nr).collect();
        let mut children: Vec<(Order, Arc<StoredEvent>)> = self
            .events(&numbers)
            .await?
            .into_iter()
            .filter_map(|event| Some((Order::of(&event, suggested_only)?, event)))
            .collect();
        children.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(children.into_iter().map(|(_, event)| event).collect())
    }
}

/// Where a child stands among the others: those with an `order` first.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Order {
    unordered: bool,
    order: String,
    ts: i64,
    room: String,
}

impl Order {
    /// `None` for a child that was taken out, is no valid one, or is not wanted.
    fn of(event: &StoredEvent, suggested_only: bool) -> Option<Self> {
        #[derive(Deserialize)]
        struct Content {
            via: Vec<serde_json::Value>,
            order: Option<serde_json::Value>,
            suggested: Option<serde_json::Value>,
        }
        let content: Content = event.read_content()?;
        if content.via.is_empty() || suggested_only && content.suggested != Some(true.into()) {
            return None;
        }
        let order = content.order.and_then(|order| order.as_str().map(str::to_owned));
        let order = order.filter(|o| o.len() <= MAX_ORDER && o.bytes().all(|b| (0x20..=0x7e).contains(&b)));
        Some(Self {
            unordered: order.is_none(),
            order: order.unwrap_or_default(),
            ts: event.ts,
            room: event.state_key_text()?.into_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{super::stored::tests::stored, *};

    fn child(nr: i64, content: &str) -> StoredEvent {
        let json = format!(r#"{{"content":{content},"sender":"@u:s","state_key":"!r{nr}:s","type":"m.space.child"}}"#);
        stored(nr, Sym::SPACE_CHILD, Some(Sym(2000)), &json)
    }

    #[test]
    fn children_with_an_order_come_first_and_those_without_a_server_not_at_all() {
        let contents = [
            r#"{"via":["s"]}"#,
            r#"{"via":["s"],"order":"b"}"#,
            r#"{"via":["s"],"order":"a","suggested":true}"#,
            r#"{"via":[]}"#,
            r#"{"via":["s"],"order":"\u00e9"}"#,
            "{}",
        ];
        let sorted = |suggested_only| {
            let events = contents.iter().zip(1..).map(|(content, nr)| child(nr, content));
            let mut orders: Vec<Order> = events.filter_map(|event| Order::of(&event, suggested_only)).collect();
            orders.sort();
            orders.into_iter().map(|order| order.room).collect::<Vec<_>>()
        };
        assert_eq!(sorted(false), ["!r3:s", "!r2:s", "!r1:s", "!r5:s"]);
        assert_eq!(sorted(true), ["!r3:s"]);
    }

    #[test]
    fn places_are_read_back() {
        for place in [
            Place { skip: 4, max_depth: None, suggested_only: false },
            Place { skip: 0, max_depth: Some(2), suggested_only: true },
        ] {
            assert_eq!(place.to_string().parse(), Ok(place));
        }
        for text in ["", "h", "h1", "h1_", "h1__2", "x1__0", "h-1__0", "h1_x_0"] {
            assert_eq!(text.parse::<Place>(), Err(NotAToken), "{text}");
        }
    }
}
