//! What a local user wants to say in a room, before it has a place there.

use std::{collections::HashMap, sync::Arc};

use roost_spec::{auth, canonical_json::Object, room_version::RoomRules};
use ruma::{OwnedUserId, UserId};

use super::{Rooms, StateKey, relations::Relation};
use crate::{
    storage::{
        EventNr, Interner, Membership, Result, Sym, UserNr,
        commit::{Relates, Txn},
    },
    users::Requester,
};

/// In whose name events are written: a local user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Author {
    pub nr: UserNr,
    pub id: OwnedUserId,
    /// May leave rooms and redact, and write nothing else.
    pub suspended: bool,
}

impl From<&Requester> for Author {
    fn from(requester: &Requester) -> Self {
        Self { nr: requester.user, id: requester.user_id.clone(), suspended: requester.suspended }
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

    /// Of a membership: whose, and what it is to be.
    pub(super) fn membership(&self) -> Option<(&str, Option<Membership>)> {
        let target = self.state_key.as_deref().filter(|_| self.kind == "m.room.member")?;
        Some((target, self.content.get_str("membership").and_then(Membership::parse)))
    }
}

/// Drafts with their strings as numbers.
///
/// A string that has no number yet gets one only when all drafts were found allowed ([`Steps::number`]): numbers last for
/// ever, and what is refused must leave nothing behind. Until then a number below zero stands for it, under which no room
/// has any state.
pub(super) struct Steps {
    pub list: Vec<Step>,
    /// What stands behind -1, -2, …
    unnumbered: Vec<Box<str>>,
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
    pub at: StateKey,
    /// Whether the event cites it. The create event is wanted always, but not always cited.
    pub cited: bool,
}

impl Steps {
    /// Whether strings without a number are among them: then nothing of it can be written yet.
    pub fn are_unnumbered(&self) -> bool {
        !self.unnumbered.is_empty()
    }

    /// Gives the strings that will be written their numbers.
    pub async fn number(&mut self, interner: &Interner) -> Result<()> {
        let texts: Vec<&str> = self.unnumbered.iter().map(|text| &**text).collect();
        let numbers = interner.numbers(&texts).await?;
        let settle = |nr: &mut Sym| {
            if let Some(real) = provisional(*nr).and_then(|at| numbers.get(at)) {
                *nr = *real;
            }
        };
        for step in &mut self.list {
            settle(&mut step.kind);
            if let Some(key) = &mut step.key {
                settle(&mut key.kind);
                settle(&mut key.key);
            }
            step.needs.iter_mut().for_each(|need| settle(&mut need.at.key));
            if let Some(relates) = &mut step.relates {
                settle(&mut relates.rel_type);
            }
        }
        self.unnumbered.clear();
        Ok(())
    }
}

/// Strings by their numbers, those that have none yet by numbers below zero.
struct Numbering<'a> {
    known: HashMap<&'a str, Sym>,
    unnumbered: Vec<Box<str>>,
}

impl<'a> Numbering<'a> {
    /// The number of a string that will be written.
    fn of(&mut self, text: &'a str) -> Sym {
        let Self { known, unnumbered } = self;
        *known.entry(text).or_insert_with(|| {
            unnumbered.push(text.into());
            i32::try_from(unnumbered.len()).map_or(NOWHERE, |count| Sym(-count))
        })
    }

    /// The number of a string that is only asked for.
    fn asked(&self, text: &str) -> Sym {
        self.known.get(text).copied().unwrap_or(NOWHERE)
    }
}

/// Under this number no room has any state.
const NOWHERE: Sym = Sym(i32::MIN);

/// The place of an unnumbered string.
fn provisional(nr: Sym) -> Option<usize> {
    usize::try_from(-1 - i64::from(nr.0)).ok().filter(|_| nr != NOWHERE)
}

impl Rooms {
    /// Says which state each of `drafts` needs, and looks the numbers of their strings up: one query at most.
    pub(super) async fn steps(&self, rules: &'static RoomRules, author: &Author, drafts: Vec<Draft>) -> Result<Steps> {
        let (written, needs, unnumbered) = self.numbered(rules, author, &drafts).await?;
        let list = drafts.into_iter().zip(written).zip(needs).map(|((draft, (kind, key, relates)), needs)| {
            let membership = draft.membership().and_then(|(_, membership)| membership);
            Step { draft, kind, key, membership, needs, thread: None, relates }
        });
        Ok(Steps { list: list.collect(), unnumbered })
    }

    async fn numbered(
        &self,
        rules: &'static RoomRules,
        author: &Author,
        drafts: &[Draft],
    ) -> Result<(Vec<(Sym, Option<StateKey>, Option<Relates>)>, Vec<Vec<Need>>, Vec<Box<str>>)> {
        let mut selections = Vec::with_capacity(drafts.len());
        for draft in drafts {
            let (key, content) = (draft.state_key.as_deref(), &draft.content);
            selections.push(auth::selection(rules, &draft.kind, author.id.as_str(), key, content));
        }
        let relations: Vec<Option<Relation<'_>>> = drafts.iter().map(|draft| Relation::of(&draft.content)).collect();
        let written = drafts.iter().flat_map(|draft| [&*draft.kind, draft.state_key.as_deref().unwrap_or_default()]);
        let texts = written.chain(relations.iter().flatten().map(|relation| relation.rel_type));
        let texts = texts.chain(selections.iter().flatten().map(|(_, key)| *key));
        let known = self.0.interner.find_many(texts).await?;

        let mut numbering = Numbering { known, unnumbered: Vec::new() };
        let mut written = Vec::with_capacity(drafts.len());
        for (draft, relation) in drafts.iter().zip(&relations) {
            let kind = numbering.of(&draft.kind);
            let key = draft.state_key.as_deref().map(|key| StateKey::new(kind, numbering.of(key)));
            let relates = relation.as_ref().map(|relation| relation.numbered(numbering.of(relation.rel_type)));
            written.push((kind, key, relates));
        }
        let needs = selections.into_iter().map(|selection| needs(selection, &numbering)).collect();
        Ok((written, needs, numbering.unnumbered))
    }
}

/// What is wanted of the state for one draft.
fn needs(selection: Vec<(&'static str, &str)>, numbering: &Numbering<'_>) -> Vec<Need> {
    let need = |(kind, key): (&'static str, &str)| Need {
        kind,
        at: StateKey::new(kind_nr(kind), numbering.asked(key)),
        cited: true,
    };
    let mut needs: Vec<Need> = selection.into_iter().map(need).collect();
    if !needs.iter().any(|need| need.kind == "m.room.create") {
        needs.push(Need { kind: "m.room.create", at: StateKey::of(Sym::CREATE), cited: false });
    }
    needs
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_without_a_number_stand_below_zero_and_asking_creates_none() {
        let mut numbering = Numbering { known: HashMap::from([("known", Sym(7))]), unnumbered: Vec::new() };
        let numbers = ["new", "known", "other", "new"].map(|text| numbering.of(text));
        assert_eq!(numbers, [Sym(-1), Sym(7), Sym(-2), Sym(-1)]);
        assert_eq!((numbering.asked("other"), numbering.asked("never")), (Sym(-2), NOWHERE));
        assert_eq!(numbers.map(provisional), [Some(0), None, Some(1), Some(0)]);
        assert_eq!(provisional(NOWHERE), None);
        assert_eq!(numbering.unnumbered.len(), 2);
    }
}
