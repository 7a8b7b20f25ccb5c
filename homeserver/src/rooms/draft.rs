//! What a local user wants to say in a room, before it has a place there.

use std::sync::Arc;

use roost_spec::{auth, canonical_json::Object, room_version::RoomRules};
use ruma::{OwnedUserId, UserId};

use super::{Rooms, StateKey, relations::Relation};
use crate::{
    storage::{
        EventNr, Membership, Result, Sym, UserNr,
        commit::{Relates, Txn},
    },
    users::Requester,
};

/// In whose name events are written: a local user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Author {
    pub nr: UserNr,
    pub id: OwnedUserId,
}

impl From<&Requester> for Author {
    fn from(requester: &Requester) -> Self {
        Self { nr: requester.user, id: requester.user_id.clone() }
    }
}

/// An event before it has a place in its room.
#[derive(Debug, Clone, Default)]
pub struct Draft {
    pub kind: String,
    pub state_key: Option<String>,
    pub content: Object,
    pub redaction: Option<Redaction>,
    pub txn: Option<Txn>,
}

/// What a redaction redacts.
#[derive(Debug, Clone)]
pub struct Redaction {
    pub event_id: String,
    /// The event, where this server has it.
    pub target: Option<RedactionTarget>,
}

#[derive(Debug, Clone)]
pub struct RedactionTarget {
    pub nr: EventNr,
    pub sender: UserNr,
    /// What is left of it.
    pub redacted: Arc<str>,
}

impl Draft {
    /// An event that is no state.
    pub fn message(kind: &str, content: Object) -> Self {
        Self { kind: kind.to_owned(), content, ..Self::default() }
    }

    /// A state event.
    pub fn state(kind: &str, state_key: &str, content: Object) -> Self {
        Self { kind: kind.to_owned(), state_key: Some(state_key.to_owned()), content, ..Self::default() }
    }

    /// A membership.
    pub fn member(user: &UserId, content: Object) -> Self {
        Self::state("m.room.member", user.as_str(), content)
    }
}

/// A draft with its strings as numbers, and what it asks of the room's state.
pub(super) struct Step {
    pub draft: Draft,
    pub kind: Sym,
    pub key: Option<StateKey>,
    pub membership: Option<Membership>,
    pub needs: Vec<Need>,
    /// The root of the thread that it is in.
    pub thread: Option<Arc<str>>,
    /// What the event relates to.
    pub relates: Option<Relates>,
}

/// A state event that is wanted to authorize a draft.
pub(super) struct Need {
    pub kind: &'static str,
    pub key: Box<str>,
    pub at: StateKey,
    /// Whether the event cites it. The create event is wanted always, but not always cited.
    pub cited: bool,
}

impl Rooms {
    /// Numbers the strings of `drafts`, and says which state each needs. No query where all strings are known.
    pub(super) async fn steps(
        &self,
        rules: &'static RoomRules,
        author: &Author,
        drafts: Vec<Draft>,
    ) -> Result<Vec<Step>> {
        let mut texts: Vec<&str> = Vec::with_capacity(drafts.len() * 4);
        let mut selections = Vec::with_capacity(drafts.len());
        for draft in &drafts {
            let needed =
                auth::selection(rules, &draft.kind, author.id.as_str(), draft.state_key.as_deref(), &draft.content);
            texts.push(&draft.kind);
            texts.push(draft.state_key.as_deref().unwrap_or_default());
            texts.extend(needed.iter().map(|(_, key)| *key));
            selections.push(needed);
        }
        let relations: Vec<Option<Relation<'_>>> = drafts.iter().map(|draft| Relation::of(&draft.content)).collect();
        texts.extend(relations.iter().flatten().map(|relation| relation.rel_type));
        let numbers = self.0.interner.numbers(&texts).await?;
        let mut numbers = numbers.into_iter();
        let mut next = || numbers.next().unwrap_or(Sym::EMPTY);
        let mut prepared = Vec::with_capacity(drafts.len());
        for selection in selections {
            let (kind, state_key) = (next(), next());
            let mut needs: Vec<Need> = selection
                .into_iter()
                .map(|(kind, key)| Need {
                    kind,
                    key: key.into(),
                    at: StateKey::new(kind_nr(kind), next()),
                    cited: true,
                })
                .collect();
            if !needs.iter().any(|need| need.kind == "m.room.create") {
                let at = StateKey::of(Sym::CREATE);
                needs.push(Need { kind: "m.room.create", key: "".into(), at, cited: false });
            }
            prepared.push((kind, state_key, needs));
        }
        let relates: Vec<Option<Relates>> =
            relations.iter().map(|relation| relation.as_ref().map(|relation| relation.numbered(next()))).collect();
        let steps =
            drafts.into_iter().zip(prepared).zip(relates).map(|((draft, (kind, state_key, needs)), relates)| {
                let key = draft.state_key.is_some().then_some(StateKey::new(kind, state_key));
                let is_member = kind == Sym::MEMBER && key.is_some();
                let membership = draft.content.get_str("membership").filter(|_| is_member).and_then(Membership::parse);
                Step { draft, kind, key, membership, needs, thread: None, relates }
            });
        Ok(steps.collect())
    }
}

/// The number of a type that authorization asks for.
fn kind_nr(kind: &'static str) -> Sym {
    match kind {
        "m.room.create" => Sym::CREATE,
        "m.room.power_levels" => Sym::POWER_LEVELS,
        "m.room.join_rules" => Sym::JOIN_RULES,
        "m.room.third_party_invite" => Sym::THIRD_PARTY_INVITE,
        _ => Sym::MEMBER,
    }
}
