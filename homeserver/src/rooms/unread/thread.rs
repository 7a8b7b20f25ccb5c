//! Which thread an event is in: by its own relation, or by that of what it relates to.
//!
//! Source: client-server API, "Threading" and "Threaded read receipts".

use std::sync::Arc;

use roost_spec::canonical_json::Object;
use serde::Deserialize;

use crate::{
    rooms::{Rooms, StoredEvent},
    storage::{Result, RoomNr},
};

/// How many relations are followed; the specification recommends three.
const HOPS: usize = 3;

/// `m.relates_to` of an event's content.
#[derive(Debug, Clone, Deserialize)]
struct Relation {
    #[serde(default)]
    rel_type: Option<String>,
    #[serde(default)]
    event_id: Option<String>,
}

impl Relation {
    fn of(event: &StoredEvent) -> Option<Self> {
        serde_json::from_str(event.content_value("m.relates_to")?).ok()
    }

    fn of_content(content: &Object) -> Option<Self> {
        let relation = content.get_object("m.relates_to")?;
        let text = |key| relation.get_str(key).map(str::to_owned);
        Some(Self { rel_type: text("rel_type"), event_id: text("event_id") })
    }
}

/// Where relations lead.
#[derive(Debug, Default)]
struct Chain {
    /// The root of the thread that the event is in.
    thread: Option<String>,
    /// What it relates to otherwise, nearest first.
    parents: Vec<String>,
}

impl Rooms {
    /// The root of the thread that an event of this content will be in. No query where it relates to nothing.
    pub(in crate::rooms) async fn thread_of_content(&self, room: RoomNr, content: &Object) -> Result<Option<Arc<str>>> {
        let Some(relation) = Relation::of_content(content) else { return Ok(None) };
        // An event ID that PostgreSQL could not keep is nobody's.
        Ok(self.chain(room, Some(relation)).await?.thread.filter(|root| !root.contains('\0')).map(Arc::from))
    }

    /// Whether an event is in the main timeline, or (with `root`) in the thread of that root. A root, and what relates to it
    /// otherwise than as a part of the thread, is in both.
    pub(in crate::rooms) async fn is_in_thread(&self, event: &StoredEvent, root: Option<&str>) -> Result<bool> {
        let chain = self.chain(event.room, Relation::of(event)).await?;
        Ok(match root {
            None => chain.thread.is_none(),
            Some(root) => {
                root == &*event.id
                    || chain.thread.as_deref() == Some(root)
                    || chain.parents.iter().any(|parent| parent == root)
            }
        })
    }

    /// The root of the thread that an event is in.
    pub(super) async fn thread_of(&self, event: &StoredEvent) -> Result<Option<String>> {
        Ok(self.chain(event.room, Relation::of(event)).await?.thread)
    }

    async fn chain(&self, room: RoomNr, mut relation: Option<Relation>) -> Result<Chain> {
        let mut chain = Chain::default();
        for _ in 0..HOPS {
            let Some(Relation { rel_type: Some(rel_type), event_id: Some(parent) }) = relation else { break };
            if rel_type == "m.thread" {
                chain.thread = Some(parent);
                break;
            }
            let event = if parent.contains('\0') { None } else { self.event_by_id(room, &parent).await? };
            relation = event.and_then(|event| Relation::of(&event));
            chain.parents.push(parent);
        }
        Ok(chain)
    }
}
