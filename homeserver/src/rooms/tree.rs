//! The tree below a space: explored level by level, walked depth first.
//!
//! So every room is looked at as near to the root as some way leads, and a room that is found first on a long way is still
//! shown with what lies below it where a short way leads there too.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use ruma::{OwnedRoomId, RoomId};
use serde::Deserialize;

use super::{Room, Rooms, StoredEvent, access::ReadError, card::Card, state::of_kind};
use crate::storage::{self, EventNr, RoomNr, Sym, UserNr};

/// A room of the tree.
#[derive(Debug, Clone)]
pub struct Branch {
    pub nr: RoomNr,
    pub card: Arc<Card>,
    /// The valid `m.space.child` events of a space, in its order.
    pub children: Vec<Arc<StoredEvent>>,
}

/// The rooms below a room that a user may know of.
#[derive(Debug)]
pub(super) struct Tree<T> {
    root: OwnedRoomId,
    found: HashMap<OwnedRoomId, (T, Vec<OwnedRoomId>)>,
}

/// So many rooms of a tree are looked at, whatever it holds.
const MOST: usize = 1000;
/// `order` of a child is a string of at most so many printable ASCII characters; others count as none.
const MAX_ORDER: usize = 50;

impl Rooms {
    /// The tree below `root`, which the user must be able to know of; a few queries a level.
    ///
    /// # Errors
    /// [`ReadError::Forbidden`].
    pub(super) async fn tree(
        &self,
        user: UserNr,
        root: &RoomId,
        max_depth: Option<u64>,
        suggested_only: bool,
    ) -> Result<Tree<Branch>, ReadError> {
        let mut tree = Tree { root: root.to_owned(), found: HashMap::new() };
        let (mut level, mut depth) = (vec![root.to_owned()], 0_u64);
        let mut asked: HashSet<OwnedRoomId> = level.iter().cloned().collect();
        while !level.is_empty() {
            let mut below = Vec::new();
            for (id, branch) in self.level(user, &level, suggested_only).await? {
                let goes_on = max_depth.is_none_or(|most| depth < most);
                let ids = branch.children.iter().filter(|_| goes_on);
                let ids: Vec<OwnedRoomId> =
                    ids.filter_map(|child| RoomId::parse(&*child.state_key_text()?).ok()).collect();
                for id in &ids {
                    if asked.len() < MOST && asked.insert(id.clone()) {
                        below.push(id.clone());
                    }
                }
                tree.found.insert(id, (branch, ids));
            }
            if tree.found.is_empty() {
                return Err(ReadError::Forbidden);
            }
            (level, depth) = (below, depth + 1);
        }
        Ok(tree)
    }

    /// Those of the rooms that exist and that the user may know of.
    async fn level(
        &self,
        user: UserNr,
        ids: &[OwnedRoomId],
        suggested_only: bool,
    ) -> storage::Result<Vec<(OwnedRoomId, Branch)>> {
        let rooms = self.find_all(ids).await?;
        let mut cards = self.cards(&rooms.iter().map(|room| room.nr).collect::<Vec<_>>()).await?;
        let mut branches = Vec::with_capacity(rooms.len());
        for room in rooms {
            let Some(card) = cards.remove(&room.nr) else { continue };
            if !self.may_know(Some(user), room.nr, &card).await? {
                continue;
            }
            let children = match card.room_type.as_deref() {
                Some("m.space") => self.space_children(&room, suggested_only).await?,
                _ => Vec::new(),
            };
            branches.push((room.id.clone(), Branch { nr: room.nr, card, children }));
        }
        Ok(branches)
    }

    /// The space's children in their order.
    async fn space_children(&self, room: &Room, suggested_only: bool) -> storage::Result<Vec<Arc<StoredEvent>>> {
        let state = self.current_state(room).await?;
        let numbers: Vec<EventNr> = of_kind(&state, Sym::SPACE_CHILD).map(|(_, nr)| nr).collect();
        let mut children: Vec<(ChildOrder, Arc<StoredEvent>)> = self
            .events(&numbers)
            .await?
            .into_iter()
            .filter_map(|event| Some((ChildOrder::of(&event, suggested_only)?, event)))
            .collect();
        children.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(children.into_iter().map(|(_, event)| event).collect())
    }
}

impl<T> Tree<T> {
    /// All rooms depth first, each once.
    pub fn walk(&self) -> Vec<OwnedRoomId> {
        let (mut stack, mut visited) = (vec![&self.root], HashSet::new());
        let mut walked = Vec::with_capacity(self.found.len());
        while let Some(id) = stack.pop() {
            if let Some((_, below)) = self.found.get(id).filter(|_| visited.insert(id)) {
                stack.extend(below.iter().rev().filter(|id| !visited.contains(id)));
                walked.push(id.clone());
            }
        }
        walked
    }

    /// Takes a room out.
    pub fn take(&mut self, id: &RoomId) -> Option<T> {
        self.found.remove(id).map(|(room, _)| room)
    }
}

/// Where a child stands among the others: those with an `order` first.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct ChildOrder {
    unordered: bool,
    order: String,
    ts: i64,
    room: String,
}

impl ChildOrder {
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
    use std::collections::BTreeSet;

    use roost_tests::seed::Seed;

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
            let mut orders: Vec<ChildOrder> =
                events.filter_map(|event| ChildOrder::of(&event, suggested_only)).collect();
            orders.sort();
            orders.into_iter().map(|order| order.room).collect::<Vec<_>>()
        };
        assert_eq!(sorted(false), ["!r3:s", "!r2:s", "!r1:s", "!r5:s"]);
        assert_eq!(sorted(true), ["!r3:s"]);
    }

    type Edges = Vec<Vec<usize>>;

    fn id(n: usize) -> OwnedRoomId {
        RoomId::parse(format!("!{n}:s")).unwrap()
    }

    /// What [`Rooms::tree`] finds.
    fn explored(edges: &Edges, max_depth: usize) -> Tree<usize> {
        let mut tree = Tree { root: id(0), found: HashMap::new() };
        let (mut level, mut asked) = (vec![0], BTreeSet::from([0]));
        for depth in 0.. {
            let mut below = Vec::new();
            for room in level {
                let children: Vec<usize> = if depth < max_depth { edges[room].clone() } else { Vec::new() };
                below.extend(children.iter().copied().filter(|child| asked.insert(*child)));
                tree.found.insert(id(room), (room, children.into_iter().map(id).collect()));
            }
            if below.is_empty() {
                break;
            }
            level = below;
        }
        tree
    }

    /// The rooms that some way of at most `max_depth` steps leads to.
    fn reachable(edges: &Edges, max_depth: usize) -> BTreeSet<usize> {
        let mut reached = BTreeSet::from([0]);
        for _ in 0..max_depth {
            let further: Vec<usize> = reached.iter().flat_map(|room| edges[*room].clone()).collect();
            reached.extend(further);
        }
        reached
    }

    #[test]
    fn what_some_way_leads_to_is_shown_once_whatever_changes_between_pages() {
        let mut seed = Seed::announced("trees");
        for round in 0..500 {
            let count = 2 + seed.below(14);
            let mut edges: Edges =
                (0..count).map(|_| (0..seed.below(4)).map(|_| seed.below(count)).collect()).collect();
            let (max_depth, limit) = (1 + seed.below(4), 1 + seed.below(4));
            let walked: Vec<OwnedRoomId> = explored(&edges, max_depth).walk();
            assert_eq!(walked.iter().collect::<BTreeSet<_>>().len(), walked.len());
            assert_eq!(
                walked.into_iter().collect::<BTreeSet<_>>(),
                reachable(&edges, max_depth).into_iter().map(id).collect()
            );

            let (mut shown, mut always) = (Vec::new(), reachable(&edges, max_depth));
            loop {
                let mut tree = explored(&edges, max_depth);
                let walked = tree.walk();
                let page: Vec<usize> =
                    walked.iter().filter_map(|id| tree.take(id)).filter(|it| !shown.contains(it)).collect();
                let ends = page.len() <= limit;
                shown.extend(page.into_iter().take(limit));
                if ends {
                    break;
                }
                // A child goes here, one comes there.
                let parent = seed.below(count);
                edges[parent].pop();
                let parent = seed.below(count);
                let child = seed.below(count);
                edges[parent].insert(0, child);
                always = always.intersection(&reachable(&edges, max_depth)).copied().collect();
            }
            assert_eq!(shown.iter().collect::<BTreeSet<_>>().len(), shown.len(), "round {round}: repeated");
            assert!(always.iter().all(|it| shown.contains(it)), "round {round}: {always:?} of {shown:?}");
        }
    }
}
