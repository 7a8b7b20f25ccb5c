//! `state` and `state_after`: what a client must know of a room beside its timeline.
//!
//! An event's frame is the state after it. The state before it is the same with what it replaced put back.
//!
//! Source: client-server API, "Syncing", and `use_state_after`.

use std::collections::{BTreeMap, HashSet};

use imbl::ordmap::DiffItem;

use crate::{
    rooms::{StateKey, StateMap, StoredEvent},
    storage::{EventNr, Sym, UserNr},
};

/// The state before `event`, given the state after it.
pub(super) fn before(event: &StoredEvent, after: &StateMap) -> StateMap {
    let Some(state_key) = event.state_key else { return after.clone() };
    let key = StateKey::new(event.kind, state_key);
    // An event that did not become the state of its key changed nothing.
    if after.get(&key) != Some(&event.nr) {
        return after.clone();
    }
    match event.replaces {
        Some(replaced) => after.update(key, replaced),
        None => after.without(&key),
    }
}

/// What differs between two states: the key, the event before (if any) and the one after. What was removed is left out: no
/// answer can tell it.
pub(super) fn changes(old: &StateMap, new: &StateMap) -> Vec<(StateKey, Option<EventNr>, EventNr)> {
    old.diff(new)
        .filter_map(|item| match item {
            DiffItem::Add(key, nr) => Some((*key, None, *nr)),
            DiffItem::Update { old: (_, old), new: (key, nr) } => Some((*key, Some(*old), *nr)),
            DiffItem::Remove(..) => None,
        })
        .collect()
}

/// What a client that knows `known` needs so that, with the timeline, it knows the state at the timeline's end.
///
/// Of what the timeline tells, it is the state before it. Of everything else it is the state at the end: what changed is not
/// in the timeline, because that is limited or filtered, because the reader may not see the event (its place in the state
/// they may know nevertheless), or because the state was resolved.
pub(super) fn beside(
    known: &StateMap,
    start: &StateMap,
    end: &StateMap,
    in_timeline: &HashSet<StateKey>,
) -> BTreeMap<StateKey, EventNr> {
    let mut beside: BTreeMap<StateKey, EventNr> =
        changes(known, end).into_iter().map(|(key, _, nr)| (key, nr)).collect();
    put_back(&mut beside, start, in_timeline);
    beside.retain(|key, nr| known.get(key) != Some(nr));
    beside
}

/// Puts in the place of what the timeline tells what was there before it.
pub(super) fn put_back(chosen: &mut BTreeMap<StateKey, EventNr>, start: &StateMap, in_timeline: &HashSet<StateKey>) {
    for key in in_timeline {
        if let Some(at_end) = chosen.get_mut(key) {
            match start.get(key) {
                Some(nr) => *at_end = *nr,
                None => drop(chosen.remove(key)),
            }
        }
    }
}

/// Of a whole state what lazy loading leaves: everything but members, and of them those in `wanted`.
pub(super) fn without_members(
    state: &StateMap,
    wanted: impl IntoIterator<Item = UserNr>,
) -> BTreeMap<StateKey, EventNr> {
    // Members are one range: a room of 10,000 costs no more than a small one.
    let first = StateKey::new(Sym::MEMBER, Sym(i32::MIN));
    let last = StateKey::new(Sym::MEMBER, Sym(i32::MAX));
    let mut chosen: BTreeMap<StateKey, EventNr> = state.range(..first).map(|(key, nr)| (*key, *nr)).collect();
    chosen.extend(state.range((std::ops::Bound::Excluded(last), std::ops::Bound::Unbounded)).map(|(k, n)| (*k, *n)));
    let members = wanted.into_iter().map(StateKey::member);
    chosen.extend(members.filter_map(|key| Some((key, *state.get(&key)?))));
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(entries: &[(Sym, i64)]) -> StateMap {
        entries.iter().map(|(kind, nr)| (StateKey::of(*kind), EventNr(*nr))).collect()
    }

    fn told(known: &[(Sym, i64)], start: &[(Sym, i64)], end: &[(Sym, i64)], timeline: &[Sym]) -> Vec<i64> {
        let timeline = timeline.iter().map(|kind| StateKey::of(*kind)).collect();
        beside(&map(known), &map(start), &map(end), &timeline).into_values().map(|nr| nr.0).collect()
    }

    const NAME: Sym = Sym::NAME;
    const TOPIC: Sym = Sym::TOPIC;

    #[test]
    fn what_the_timeline_tells_is_not_told_twice() {
        assert_eq!(told(&[(NAME, 1)], &[(NAME, 1)], &[(NAME, 2)], &[NAME]), [0; 0]);
    }

    #[test]
    fn what_happened_before_a_limited_timeline_is_told() {
        assert_eq!(told(&[(NAME, 1)], &[(NAME, 2), (TOPIC, 3)], &[(NAME, 4), (TOPIC, 3)], &[NAME]), [2, 3]);
    }

    #[test]
    fn what_is_hidden_from_the_timeline_is_told_as_it_is_now() {
        assert_eq!(told(&[(NAME, 1)], &[(NAME, 1)], &[(NAME, 2)], &[]), [2]);
        assert_eq!(told(&[(NAME, 1)], &[(NAME, 2)], &[(NAME, 3)], &[]), [3]);
        // A newcomer: the timeline begins with what they see of the room's beginning.
        assert_eq!(told(&[], &[], &[(Sym::CREATE, 1), (NAME, 2), (TOPIC, 3)], &[Sym::CREATE]), [2, 3]);
    }

    #[test]
    fn lazy_loading_leaves_everything_but_members_and_the_wanted_ones() {
        let member = |nr: i32| (StateKey::member(Sym(nr)), EventNr(i64::from(nr)));
        let mut state = map(&[(Sym::CREATE, 1), (NAME, 2)]);
        state.extend((1000..1010).map(member));
        state.insert(StateKey::new(Sym(2000), Sym(1003)), EventNr(9));
        let chosen = without_members(&state, [Sym(1003), Sym(5)]);
        let numbers: Vec<i64> = chosen.into_values().map(|nr| nr.0).collect();
        assert_eq!(numbers, [1, 1003, 2, 9]);
    }
}
