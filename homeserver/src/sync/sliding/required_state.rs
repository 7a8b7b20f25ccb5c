//! `required_state`: which state events a client wants of a room.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use crate::{
    rooms::{StateKey, StateMap},
    storage::{EventNr, Sym},
};

/// State events by type and state key; what is absent stands for any.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Pattern {
    pub kind: Option<String>,
    pub key: Option<Key>,
}

/// A state key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Key {
    Text(String),
    /// The reader's user ID.
    Me,
}

/// Which state a client wants.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct RequiredState {
    pub include: BTreeSet<Pattern>,
    pub exclude: BTreeSet<Pattern>,
    /// Members that explain the timeline.
    pub lazy_members: bool,
}

/// Required state in numbers, for the types that occur.
#[derive(Debug)]
pub(super) struct Selector {
    kinds: HashMap<Sym, Wanted>,
}

#[derive(Debug, Default)]
struct Wanted {
    all: bool,
    keys: Vec<Sym>,
    none: bool,
    not_keys: Vec<Sym>,
}

impl RequiredState {
    /// Both together: what either wants. What one excludes and the other does not is wanted.
    pub fn and(&self, other: &Self) -> Self {
        Self {
            include: self.include.union(&other.include).cloned().collect(),
            exclude: self.exclude.intersection(&other.exclude).cloned().collect(),
            // Who wants all members gets them by a pattern.
            lazy_members: self.lazy_members || other.lazy_members,
        }
    }

    /// The state keys that patterns name.
    pub(super) fn named_keys(&self) -> impl Iterator<Item = &str> {
        self.include.iter().chain(&self.exclude).filter_map(|pattern| match &pattern.key {
            Some(Key::Text(text)) if !text.is_empty() => Some(&**text),
            _ => None,
        })
    }

    /// The selector for `kinds`, the types that occur. `keys` has the numbers of those named keys that occur anywhere.
    pub(super) fn selector(&self, kinds: &HashMap<Sym, Arc<str>>, keys: &HashMap<&str, Sym>, me: Sym) -> Selector {
        let number = |key: &Key| match key {
            Key::Me => Some(me),
            Key::Text(text) if text.is_empty() => Some(Sym::EMPTY),
            Key::Text(text) => keys.get(&**text).copied(),
        };
        let fits = |pattern: &Pattern, kind: &str| pattern.kind.as_deref().is_none_or(|wanted| wanted == kind);
        let wanted = |kind: &str| {
            let mut wanted = Wanted::default();
            for pattern in self.include.iter().filter(|p| fits(p, kind)) {
                match &pattern.key {
                    None => wanted.all = true,
                    Some(key) => wanted.keys.extend(number(key)),
                }
            }
            for pattern in self.exclude.iter().filter(|p| fits(p, kind)) {
                match &pattern.key {
                    None => wanted.none = true,
                    Some(key) => wanted.not_keys.extend(number(key)),
                }
            }
            wanted
        };
        Selector { kinds: kinds.iter().map(|(sym, kind)| (*sym, wanted(kind))).collect() }
    }
}

impl Selector {
    pub fn takes(&self, key: StateKey) -> bool {
        self.kinds.get(&key.kind).is_some_and(|wanted| {
            (wanted.all || wanted.keys.contains(&key.key)) && !wanted.none && !wanted.not_keys.contains(&key.key)
        })
    }

    /// What it takes of a whole state; looks at members only where it wants them.
    pub fn select(&self, state: &StateMap) -> Vec<(StateKey, EventNr)> {
        let mut chosen = Vec::new();
        for (kind, wanted) in &self.kinds {
            if wanted.all {
                let all = crate::rooms::state::of_kind(state, *kind).map(|(key, nr)| (StateKey::new(*kind, key), nr));
                chosen.extend(all.filter(|(key, _)| self.takes(*key)));
            } else {
                let named = wanted.keys.iter().map(|key| StateKey::new(*kind, *key)).filter(|key| self.takes(*key));
                chosen.extend(named.filter_map(|key| Some((key, *state.get(&key)?))));
            }
        }
        chosen.sort_unstable_by_key(|(key, _)| *key);
        chosen.dedup();
        chosen
    }
}

/// The types that occur in a state; members are not looked at one by one.
pub(super) fn kinds_of(state: &StateMap) -> BTreeSet<Sym> {
    let mut kinds = BTreeSet::new();
    let mut next = Sym(i32::MIN);
    // From one type's last key to the next type.
    while let Some((key, _)) = state.range(StateKey::new(next, Sym(i32::MIN))..).next() {
        kinds.insert(key.kind);
        let Some(after) = key.kind.0.checked_add(1) else { break };
        next = Sym(after);
    }
    kinds
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: Sym = Sym(1000);

    fn pattern(kind: &str, key: &str) -> Pattern {
        let some = |text: &str| (text != "*").then(|| text.to_owned());
        Pattern { kind: some(kind), key: if key == "$ME" { Some(Key::Me) } else { some(key).map(Key::Text) } }
    }

    fn selected(include: &[(&str, &str)], exclude: &[(&str, &str)]) -> Vec<i64> {
        let patterns = |list: &[(&str, &str)]| list.iter().map(|(kind, key)| pattern(kind, key)).collect();
        let required = RequiredState { include: patterns(include), exclude: patterns(exclude), lazy_members: false };
        let state = StateMap::from_iter([
            (StateKey::of(Sym::CREATE), EventNr(1)),
            (StateKey::of(Sym::NAME), EventNr(2)),
            (StateKey::member(ME), EventNr(3)),
            (StateKey::member(Sym(1001)), EventNr(4)),
        ]);
        assert_eq!(kinds_of(&state).into_iter().collect::<Vec<_>>(), [Sym::CREATE, Sym::MEMBER, Sym::NAME]);
        let kinds = HashMap::from([
            (Sym::CREATE, "m.room.create".into()),
            (Sym::NAME, "m.room.name".into()),
            (Sym::MEMBER, "m.room.member".into()),
        ]);
        let keys = HashMap::from([("@b:s", Sym(1001))]);
        let mut numbers: Vec<i64> =
            required.selector(&kinds, &keys, ME).select(&state).iter().map(|(_, nr)| nr.0).collect();
        numbers.sort_unstable();
        numbers
    }

    #[test]
    fn types_keys_and_stars() {
        assert_eq!(selected(&[("m.room.name", "")], &[]), [2]);
        assert_eq!(selected(&[("m.room.member", "$ME")], &[]), [3]);
        assert_eq!(selected(&[("m.room.member", "@b:s"), ("m.room.member", "@nobody:s")], &[]), [4]);
        assert_eq!(selected(&[("m.room.member", "*")], &[]), [3, 4]);
        assert_eq!(selected(&[("*", "*")], &[]), [1, 2, 3, 4]);
        assert_eq!(selected(&[("*", "")], &[]), [1, 2]);
        assert_eq!(selected(&[("*", "*")], &[("m.room.member", "*")]), [1, 2]);
        assert_eq!(selected(&[("*", "*")], &[("m.room.member", "$ME")]), [1, 2, 4]);
        assert_eq!(selected(&[], &[]), [0; 0]);
    }

    #[test]
    fn together_they_want_what_either_wants() {
        let one = RequiredState {
            include: [pattern("*", "*")].into(),
            exclude: [pattern("m.a", "*"), pattern("m.b", "*")].into(),
            lazy_members: false,
        };
        let two = RequiredState {
            include: [pattern("m.b", "")].into(),
            exclude: [pattern("m.a", "*")].into(),
            lazy_members: true,
        };
        let both = one.and(&two);
        assert_eq!((both.include.len(), both.exclude.len(), both.lazy_members), (2, 1, true));
    }
}
