//! What is told of each room that was looked at: its state beside the timeline, and its summary.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use super::{
    Sync,
    answer::Part,
    filter::LazyMembers,
    look::{Looked, member_changes},
    plan::Wanted,
    reader::{Reader, StateAfter},
    state, summary,
};
use crate::{
    rooms::{StateKey, StateMap, StoredEvent},
    storage::{EventNr, Pos, Result, RoomNr, Sym, UserNr, sync::Summary},
};

/// What names a room, so that nobody need stand for it.
const NAMING: [(StateKey, &str); 2] =
    [(StateKey::of(Sym::NAME), "name"), (StateKey::of(Sym::CANONICAL_ALIAS), "alias")];

impl Sync {
    /// The parts of the rooms, without what is beside their events.
    ///
    /// # Errors
    /// The database's own.
    pub(super) async fn parts(
        &self,
        reader: &Reader,
        looked: Vec<Looked>,
        since: Pos,
        until: Pos,
    ) -> Result<Vec<Part>> {
        let redacted = self.with_redacted(&looked, &NAMING).await?;
        let due = |l: &&Looked| {
            let changed = l.job.state == Wanted::Whole || !l.members.is_empty() || l.is_changed(&NAMING);
            !l.job.left && (changed || redacted.contains(&l.room.nr))
        };
        let summaries = self.wanted_summaries(&looked.iter().filter(due).collect::<Vec<_>>(), &NAMING).await?;
        let heroes = |room| summaries.get(&room).map(|(summary, _)| summary::heroes(summary, reader.user));
        let mut chosen: Vec<Vec<(StateKey, EventNr)>> = looked
            .iter()
            .map(|l| self.choose_state(reader, l, &heroes(l.room.nr).unwrap_or_default(), since, until))
            .collect();
        self.sift_types(reader, &looked, &mut chosen).await?;
        let numbers: Vec<EventNr> = chosen.iter().flatten().map(|(_, nr)| *nr).collect();
        let mut events = self.0.rooms.events(&numbers).await?.into_iter();
        let mut parts = Vec::with_capacity(looked.len());
        for (l, chosen) in looked.into_iter().zip(&chosen) {
            let state: Vec<Arc<StoredEvent>> = events.by_ref().take(chosen.len()).collect();
            let summary = summaries.get(&l.room.nr).map(|(summary, unnamed)| {
                (Arc::clone(summary), unnamed.then(|| summary::heroes(summary, reader.user)))
            });
            // The reader's own receipts change the counts, whether or not the client wants to see receipts.
            let has_read = || {
                let receipts = self.0.caches.touched.receipts(l.room.nr, since, until).unwrap_or_default();
                receipts.iter().any(|receipt| receipt.user == reader.user)
            };
            let always = !l.job.left && (l.job.newly || l.job.state == Wanted::Whole || has_read());
            parts.push(Part {
                room: l.room,
                left: l.job.left,
                always,
                summary,
                state,
                shape: l.shape,
                ephemeral: Vec::new(),
                account_data: Vec::new(),
                unread: None,
            });
        }
        Ok(parts)
    }

    /// The state of one room that the client needs, and notes which members it is told of.
    fn choose_state(
        &self,
        reader: &Reader,
        l: &Looked,
        heroes: &[UserNr],
        since: Pos,
        until: Pos,
    ) -> Vec<(StateKey, EventNr)> {
        let mut state = l.state(reader, heroes);
        let lazy = reader.filter.lazy_members;
        if lazy != LazyMembers::No {
            let told = self.0.told.of(reader.device, 0);
            let beside = l.members_beside(reader, heroes, &state);
            // Who begins the room anew, or asks for all of it, may have forgotten whom they were told of.
            let anew = lazy == LazyMembers::Redundant || l.job.state == Wanted::Whole;
            let again = |(user, nr): &(UserNr, EventNr)| anew || !told.knows(l.room.nr, *user, *nr, since);
            state.extend(beside.into_iter().filter(again).map(|(user, nr)| (StateKey::member(user), nr)));
            let members = state.iter().filter(|(key, _)| key.kind == Sym::MEMBER).map(|(key, nr)| (key.key, *nr));
            told.tell(l.room.nr, members.chain(l.members_in_timeline()), until);
        }
        state.into_iter().collect()
    }

    /// Drops state that the filter does not take.
    async fn sift_types(
        &self,
        reader: &Reader,
        looked: &[Looked],
        chosen: &mut [Vec<(StateKey, EventNr)>],
    ) -> Result<()> {
        let filter = &reader.filter.state;
        if !filter.rooms.takes_all() {
            for (state, _) in chosen.iter_mut().zip(looked).filter(|(_, l)| !filter.takes_room(&l.room.id)) {
                state.clear();
            }
        }
        if !filter.types.takes_all() {
            let kinds: BTreeSet<Sym> = chosen.iter().flatten().map(|(key, _)| key.kind).collect();
            let texts = self.0.rooms.interner().texts(&kinds.into_iter().collect::<Vec<_>>()).await?;
            for state in chosen {
                state.retain(|(key, _)| texts.get(&key.kind).is_some_and(|kind| filter.types.takes(kind)));
            }
        }
        Ok(())
    }

    /// The rooms in which one of the state events `naming` may have been redacted in the time in question.
    async fn with_redacted(&self, looked: &[Looked], naming: &[(StateKey, &str)]) -> Result<HashSet<RoomNr>> {
        let doubtful = looked.iter().filter(|l| l.redacted && !l.job.left);
        let numbers: Vec<EventNr> =
            doubtful.flat_map(|l| naming.iter().filter_map(|(key, _)| l.end.get(key).copied())).collect();
        if numbers.is_empty() {
            return Ok(HashSet::new());
        }
        let events = self.0.rooms.events(&numbers).await?;
        Ok(events.iter().filter(|event| event.redacted_by.is_some()).map(|event| event.room).collect())
    }

    /// The summaries of rooms, each with whether it has no name, so that heroes are due. `naming`: the state events that
    /// give names, and in which field.
    ///
    /// # Errors
    /// The database's own.
    pub(super) async fn wanted_summaries(
        &self,
        due: &[&Looked],
        naming: &[(StateKey, &str)],
    ) -> Result<HashMap<RoomNr, (Arc<Summary>, bool)>> {
        if due.is_empty() {
            return Ok(HashMap::new());
        }
        let numbers = due.iter().flat_map(|l| naming.iter().filter_map(|(key, _)| l.end.get(key).copied()));
        let events = self.0.rooms.events(&numbers.collect::<Vec<_>>()).await?;
        let named: HashSet<RoomNr> = events
            .iter()
            .filter(|event| {
                let field = naming.iter().find(|(key, _)| key.kind == event.kind).map_or("", |(_, field)| field);
                event.content_value(field).is_some_and(|value| value.starts_with('"') && value.len() > 2)
            })
            .map(|event| event.room)
            .collect();
        let asks: Vec<summary::Ask> = due
            .iter()
            .map(|l| summary::Ask { room: l.room.nr, frame: l.end_frame, heroes: !named.contains(&l.room.nr) })
            .collect();
        let found = self.summaries(&asks).await?;
        Ok(found.into_iter().map(|(room, summary)| (room, (summary, !named.contains(&room)))).collect())
    }
}

impl Looked {
    /// The state that the client needs besides the timeline.
    fn state(&self, reader: &Reader, heroes: &[UserNr]) -> BTreeMap<StateKey, EventNr> {
        let in_timeline = self.told_by_timeline(reader);
        let known = match self.job.state {
            Wanted::Changes | Wanted::More => match &self.known {
                Some(known) => known,
                None => return BTreeMap::new(),
            },
            Wanted::Whole | Wanted::Nothing => &StateMap::new(),
        };
        if self.job.state != Wanted::Whole || reader.filter.lazy_members == LazyMembers::No {
            return state::beside(known, &self.start, &self.end, &in_timeline);
        }
        // Who comes back may know members from before: what became of those must be told.
        let changed = self.known.iter().flat_map(|known| member_changes(known, &self.end)).map(|(user, ..)| user);
        let wanted = heroes.iter().copied().chain([reader.user]).chain(changed);
        let mut state = state::without_members(&self.end, wanted);
        state::put_back(&mut state, &self.start, &in_timeline);
        state
    }

    /// The memberships of the timeline's senders, and of `heroes`, that stand neither in `state` nor in the timeline before
    /// they are needed.
    fn members_beside(
        &self,
        reader: &Reader,
        heroes: &[UserNr],
        state: &BTreeMap<StateKey, EventNr>,
    ) -> BTreeMap<UserNr, EventNr> {
        if self.job.state == Wanted::Nothing {
            return BTreeMap::new();
        }
        let in_timeline = self.told_by_timeline(reader);
        let mut wanted: BTreeSet<UserNr> =
            heroes.iter().copied().filter(|user| !in_timeline.contains(&StateKey::member(*user))).collect();
        let mut passed: HashSet<UserNr> = HashSet::new();
        for event in self.shape.shown.iter().map(|shown| &shown.event) {
            if event.kind == Sym::MEMBER {
                passed.extend(event.state_key);
            }
            if reader.state_after != StateAfter::No || !passed.contains(&event.sender) {
                wanted.insert(event.sender);
            }
        }
        let of = |user: UserNr| {
            let key = StateKey::member(user);
            let map = if in_timeline.contains(&key) { &self.start } else { &self.end };
            Some((user, *map.get(&key).filter(|_| !state.contains_key(&key))?))
        };
        wanted.into_iter().filter_map(of).collect()
    }

    /// What a client learns of the state by going through the timeline; nothing where it takes the state at its end.
    fn told_by_timeline(&self, reader: &Reader) -> HashSet<StateKey> {
        match reader.state_after {
            StateAfter::No => self.shape.state_keys(),
            StateAfter::Stable | StateAfter::Unstable => HashSet::new(),
        }
    }

    /// Whether one of these state events is another one than the client knows.
    fn is_changed(&self, keys: &[(StateKey, &str)]) -> bool {
        let Some(known) = &self.known else { return false };
        keys.iter().any(|(key, _)| known.get(key) != self.end.get(key))
    }

    fn members_in_timeline(&self) -> impl Iterator<Item = (UserNr, EventNr)> {
        let member = |event: &Arc<StoredEvent>| (event.kind == Sym::MEMBER).then_some((event.state_key?, event.nr));
        self.shape.shown.iter().filter_map(move |shown| member(&shown.event))
    }
}
