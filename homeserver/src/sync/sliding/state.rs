//! Which state of a room an answer holds.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::{
    super::{Sync, lazy, look::Looked, plan::Wanted},
    RequiredState,
    required_state::{Selector, kinds_of},
    window::{Due, Named},
};
use crate::{
    rooms::StateKey,
    storage::{EventNr, Pos, Result, RoomNr, Sym, UserNr},
};

impl Sync {
    /// Selectors for all required states that occur, those of before included.
    ///
    /// # Errors
    /// The database's own.
    pub(super) async fn selectors(
        &self,
        user: UserNr,
        looked: &[Looked],
        dues: &HashMap<RoomNr, (Named, Due)>,
    ) -> Result<HashMap<RequiredState, Selector>> {
        let interner = self.0.rooms.interner();
        let mut wanted: HashSet<&RequiredState> = HashSet::new();
        for (named, due) in looked.iter().filter_map(|l| dues.get(&l.room.nr)) {
            wanted.insert(&named.config.required_state);
            wanted.extend(due.grown_from.as_ref().map(|config| &config.required_state));
        }
        let kinds: BTreeSet<Sym> = looked.iter().flat_map(|l| kinds_of(&l.end)).collect();
        let kinds = interner.texts(&kinds.into_iter().collect::<Vec<_>>()).await?;
        let names: BTreeSet<&str> = wanted.iter().flat_map(|required| required.named_keys()).collect();
        let keys = interner.find_many(names).await?;
        Ok(wanted.into_iter().map(|required| (required.clone(), required.selector(&kinds, &keys, user))).collect())
    }
}

impl Looked {
    /// The state that the config asks for and the client does not have, with the members that explain the timeline. What the
    /// device is told of these is noted in `told`, with the places `from` and `until` of its request and the answer.
    pub(super) fn state_for(
        &self,
        named: &Named,
        due: &Due,
        selectors: &HashMap<RequiredState, Selector>,
        reader: UserNr,
        told: &lazy::DeviceTold,
        (from, until): (Option<Pos>, Pos),
    ) -> Vec<EventNr> {
        let required = &named.config.required_state;
        let mut state = self.required(due, required, selectors, reader);
        if required.lazy_members && self.job.state != Wanted::Nothing {
            // With a gap the client forgets the members that it knows.
            let anew = due.since.is_none() || self.shape.limited;
            let explain = self.members_to_explain(&state);
            let since = from.unwrap_or_default();
            let missing = explain.into_iter().filter(|(user, nr)| anew || !told.knows(self.room.nr, *user, *nr, since));
            state.extend(missing.map(|(user, nr)| (StateKey::member(user), nr)));
            if !anew {
                state.extend(self.members.iter().map(|(user, _, nr)| (StateKey::member(*user), *nr)));
            }
            let members = state.iter().filter(|(key, _)| key.kind == Sym::MEMBER).map(|(key, nr)| (key.key, *nr));
            told.tell(self.room.nr, members, until);
        }
        let numbers: BTreeSet<EventNr> = state.into_iter().map(|(_, nr)| nr).collect();
        numbers.into_iter().collect()
    }

    /// The state that the config asks for and the client does not have.
    fn required(
        &self,
        due: &Due,
        required: &RequiredState,
        selectors: &HashMap<RequiredState, Selector>,
        reader: UserNr,
    ) -> Vec<(StateKey, EventNr)> {
        if self.job.left {
            // That they are not in it any more, asked for or not: nothing else tells the client.
            let own = (StateKey::member(reader), self.job.own.nr);
            let mut state = self.required_inside(due, required, selectors);
            state.retain(|(key, _)| *key != own.0);
            state.push(own);
            return state;
        }
        self.required_inside(due, required, selectors)
    }

    fn required_inside(
        &self,
        due: &Due,
        required: &RequiredState,
        selectors: &HashMap<RequiredState, Selector>,
    ) -> Vec<(StateKey, EventNr)> {
        let Some(selector) = selectors.get(required).filter(|_| self.job.state != Wanted::Nothing) else {
            return Vec::new();
        };
        if due.since.is_none() {
            return selector.select(&self.end);
        }
        let mut state = Vec::new();
        if let Some(known) = &self.known {
            let changes = super::super::state::changes(known, &self.end).into_iter();
            state.extend(changes.filter(|(key, ..)| selector.takes(*key)).map(|(key, _, nr)| (key, nr)));
        }
        if let Some(before) = due.grown_from.as_ref().and_then(|config| selectors.get(&config.required_state)) {
            state.extend(selector.select(&self.end).into_iter().filter(|(key, _)| !before.takes(*key)));
        }
        state
    }

    /// The memberships of the timeline's senders, and of those whom its membership events are about, apart from `state`.
    fn members_to_explain(&self, state: &[(StateKey, EventNr)]) -> Vec<(UserNr, EventNr)> {
        let mut users: BTreeSet<UserNr> = BTreeSet::new();
        for shown in &self.shape.shown {
            users.insert(shown.event.sender);
            users.extend(shown.event.state_key.filter(|_| shown.event.kind == Sym::MEMBER));
        }
        let there: HashSet<StateKey> = state.iter().map(|(key, _)| *key).collect();
        let of = |user: UserNr| {
            let key = StateKey::member(user);
            (!there.contains(&key)).then(|| Some((user, *self.end.get(&key)?))).flatten()
        };
        users.into_iter().filter_map(of).collect()
    }
}
