//! Events that relate to others: what an event says of it, what is known of an event's children, and the sums that
//! clients are shown with it.
//!
//! Source: client-server API, "Forming relationships between events", "Event replacements", "Threading".
//!
//! - `memory`: which events have children at all, followed from the log, so that most events cost no query
//! - `bundle`: the aggregations that go with events; `children`, `threads`: pages of them
//!
//! **Invariant:** the table of relations is written by the commit that stores the child, and a redacted child is none.

mod bundle;
mod children;
mod memory;
mod threads;

pub(super) use bundle::Bundle;
pub use bundle::{Bundles, Related};
pub use children::{Children, ChildrenAsk, GENERATIONS};
pub(super) use memory::Memory;
use roost_spec::canonical_json::Object;
use serde::Deserialize;
use serde_json::Value;
pub use threads::{ThreadPage, ThreadsAsk, ThreadsToken};

use super::{Room, Rooms, StoredEvent, WriteError};
use crate::storage::{self, UserNr, commit::Relates};

/// Another event's replacement.
pub const REPLACE: &str = "m.replace";
/// An answer in a thread.
pub const THREAD: &str = "m.thread";
/// A mention of another event.
pub const REFERENCE: &str = "m.reference";
/// A reaction.
pub const ANNOTATION: &str = "m.annotation";

/// An ID of an event has at most so many bytes, a relation's type too.
const MAX_BYTES: usize = 255;

/// What a draft says of its relation to another event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Relation<'a> {
    pub rel_type: &'a str,
    pub target: &'a str,
    /// What an annotation says.
    pub key: Option<&'a str>,
}

impl<'a> Relation<'a> {
    /// Out of an event's content. What does not fit the schema relates to nothing.
    pub fn of(content: &'a Object) -> Option<Self> {
        let relates_to = content.get_object("m.relates_to")?;
        let (rel_type, target) = (relates_to.get_str("rel_type")?, relates_to.get_str("event_id")?);
        is_relation(rel_type, target).then_some(Self { rel_type, target, key: relates_to.get_str("key") })
    }

    pub fn numbered(&self, rel_type: storage::Sym) -> Relates {
        Relates { target: self.target.into(), rel_type, thread: self.rel_type == THREAD }
    }
}

fn is_relation(rel_type: &str, target: &str) -> bool {
    let fits = |text: &str| !text.is_empty() && text.len() <= MAX_BYTES && !text.contains('\0');
    fits(rel_type) && fits(target)
}

/// What a stored event says of its relation to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    pub rel_type: String,
    pub target: String,
    pub key: Option<String>,
}

impl Said {
    /// Out of a stored event.
    pub fn of(event: &StoredEvent) -> Option<Self> {
        Self::of_content(event.content())
    }

    /// Out of a content, as JSON. Most contents are told by a look for the word alone.
    pub fn of_content(content: &str) -> Option<Self> {
        #[derive(Deserialize)]
        struct Content {
            #[serde(rename = "m.relates_to")]
            relates_to: Value,
        }
        if !content.contains("\"m.relates_to\"") {
            return None;
        }
        let content: Content = serde_json::from_str(content).ok()?;
        let text = |name: &str| content.relates_to.get(name)?.as_str();
        let (rel_type, target) = (text("rel_type")?, text("event_id")?);
        is_relation(rel_type, target).then(|| Self {
            rel_type: rel_type.to_owned(),
            target: target.to_owned(),
            key: text("key").map(str::to_owned),
        })
    }
}

impl Rooms {
    /// Refuses relations that clients must not make: a thread that begins at an event which relates to another itself,
    /// and the same reaction twice.
    pub(super) async fn check_relation(
        &self,
        room: &Room,
        sender: UserNr,
        kind: &str,
        content: &Object,
    ) -> Result<(), WriteError> {
        let Some(relation) = Relation::of(content) else { return Ok(()) };
        match relation.rel_type {
            THREAD => {
                let root = self.event_by_id(room.nr, relation.target).await?;
                match root.as_deref().and_then(Said::of) {
                    Some(_) => Err(WriteError::BadThread),
                    None => Ok(()),
                }
            }
            ANNOTATION if relation.key.is_some() => {
                let target = self.event_by_id(room.nr, relation.target).await?;
                if target.is_some_and(|event| matches!(self.0.caches.relations.of(&event), memory::Recalled::Childless))
                {
                    return Ok(());
                }
                let Some(rel_type) = self.0.interner.find(ANNOTATION).await? else { return Ok(()) };
                let earlier =
                    storage::relation::of_sender(&self.0.pool, room.nr, relation.target, rel_type, sender).await?;
                let same = |event: &StoredEvent| {
                    event.kind_text() == kind && Said::of(event).is_some_and(|said| said.key.as_deref() == relation.key)
                };
                match self.events(&earlier).await?.iter().any(|event| same(event)) {
                    true => Err(WriteError::DuplicateAnnotation),
                    false => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use roost_spec::canonical_json::{Numbers, parse_object};

    use super::*;

    #[test]
    fn a_relation_has_a_type_and_a_target() {
        for (json, fits) in [
            (r#"{"m.relates_to":{"rel_type":"m.thread","event_id":"$a"}}"#, true),
            (r#"{"m.relates_to":{"m.in_reply_to":{"event_id":"$a"}}}"#, false),
            (r#"{"m.relates_to":{"rel_type":"m.thread"}}"#, false),
            (r#"{"m.relates_to":{"rel_type":1,"event_id":"$a"}}"#, false),
            (r#"{"m.relates_to":{"rel_type":"","event_id":"$a"}}"#, false),
            (r#"{"m.relates_to":[]}"#, false),
            (r#"{"body":"m.relates_to"}"#, false),
        ] {
            let content = parse_object(json.as_bytes(), Numbers::Strict).unwrap();
            assert_eq!(Relation::of(&content).is_some(), fits, "{json}");
            assert_eq!(Said::of_content(json).is_some(), fits, "{json}");
        }
        let long = format!(r#"{{"m.relates_to":{{"rel_type":"m.thread","event_id":"${}"}}}}"#, "x".repeat(255));
        assert_eq!(Said::of_content(&long), None);
    }
}
