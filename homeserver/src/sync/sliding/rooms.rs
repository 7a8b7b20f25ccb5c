//! The parts of rooms: what is told of each room that is due.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use super::{
    super::{Sync, look::Looked, plan::Wanted, summary},
    Dialect, RequiredState,
    poll::Call,
    required_state::{Selector, kinds_of},
    window::{Due, Named},
};
use crate::{
    rooms::{Room, StateKey, StoredEvent, unread::Unread},
    storage::{EventNr, Pos, Result, RoomNr, Sym, UserNr, sync::Summary},
};

const NAME: StateKey = StateKey::of(Sym::NAME);
const AVATAR: StateKey = StateKey::of(Sym::AVATAR);

/// A room's part of an answer.
pub(super) struct Part {
    pub named: Named,
    pub initial: bool,
    pub expanded: bool,
    pub body: Body,
}

/// What it holds, by the reader's membership.
pub(super) enum Body {
    Inside(Box<Inside>),
    /// Invited or knocking: stripped state.
    Outside(Vec<Arc<StoredEvent>>),
}

/// Joined, or joined before.
pub(super) struct Inside {
    pub looked: Looked,
    /// `m.room.name`, `m.room.avatar`: the new one, or that there is none; absent where nothing changed.
    pub name: Option<Option<Arc<StoredEvent>>>,
    pub avatar: Option<Option<Arc<StoredEvent>>>,
    /// Memberships of those who stand for the room, with their user IDs' numbers.
    pub heroes: Option<Vec<(UserNr, Option<Arc<StoredEvent>>)>>,
    pub counts: Option<Arc<Summary>>,
    pub state: Vec<Arc<StoredEvent>>,
    /// So many of the timeline's last events are new.
    pub live: usize,
    /// How much of the room the reader has not read; where they are joined.
    pub unread: Option<Unread>,
    /// They have read on.
    pub read: bool,
}

/// What one room needs of the event cache.
struct Chosen {
    state: Vec<EventNr>,
    heroes: Option<Vec<(UserNr, Option<EventNr>)>>,
}

impl Sync {
    /// Makes the parts of the rooms that were looked at.
    ///
    /// # Errors
    /// The database's own.
    pub(super) async fn inside_parts(
        &self,
        call: &Call,
        connection: u64,
        looked: Vec<Looked>,
        dues: &HashMap<RoomNr, (Named, Due)>,
        (from, until): (Option<Pos>, Pos),
    ) -> Result<Vec<Part>> {
        let reader = &call.reader;
        let selectors = self.selectors(reader.user, &looked, dues).await?;
        let is_initial = |l: &Looked| dues.get(&l.room.nr).is_none_or(|(_, due)| due.since.is_none());
        let renamed = |l: &Looked| l.known.as_ref().is_some_and(|known| known.get(&NAME) != l.end.get(&NAME));
        let due: Vec<&Looked> =
            looked.iter().filter(|l| !l.job.left && (is_initial(l) || !l.members.is_empty() || renamed(l))).collect();
        let summaries = self.wanted_summaries(&due, &[(NAME, "name")]).await?;
        let joined: Vec<RoomNr> = looked.iter().filter(|l| !l.job.left).map(|l| l.room.nr).collect();
        let mut unread = match call.request.dialect {
            Dialect::Unstable => self.0.rooms.counts(reader.user, &joined).await?,
            Dialect::Stable => HashMap::new(),
        };
        let told = self.0.told.of(reader.device, connection);

        let mut chosen = Vec::with_capacity(looked.len());
        for l in &looked {
            let Some((named, due)) = dues.get(&l.room.nr) else { continue };
            let required = &named.config.required_state;
            let mut state = l.required(due, required, &selectors, reader.user);
            if required.lazy_members && l.job.state != Wanted::Nothing {
                // With a gap the client forgets the members that it knows.
                let anew = due.since.is_none() || l.shape.limited;
                let explain = l.members_to_explain(&state);
                let since = from.unwrap_or_default();
                let missing =
                    explain.into_iter().filter(|(user, nr)| anew || !told.knows(l.room.nr, *user, *nr, since));
                state.extend(missing.map(|(user, nr)| (StateKey::member(user), nr)));
                if !anew {
                    state.extend(l.members.iter().map(|(user, _, nr)| (StateKey::member(*user), *nr)));
                }
                let members = state.iter().filter(|(key, _)| key.kind == Sym::MEMBER).map(|(key, nr)| (key.key, *nr));
                told.tell(l.room.nr, members, until);
            }
            let heroes = summaries.get(&l.room.nr).filter(|(_, unnamed)| *unnamed).map(|(summary, _)| {
                let member = |user| (user, l.end.get(&StateKey::member(user)).copied());
                summary::heroes(summary, reader.user).into_iter().map(member).collect()
            });
            let numbers: BTreeSet<EventNr> = state.into_iter().map(|(_, nr)| nr).collect();
            chosen.push(Chosen { state: numbers.into_iter().collect(), heroes });
        }
        let events = self.loaded(&looked, &chosen).await?;

        let mut parts = Vec::with_capacity(looked.len());
        for (l, chosen) in looked.into_iter().zip(chosen) {
            let Some((named, due)) = dues.get(&l.room.nr).cloned() else { continue };
            let of = |nr: &EventNr| events.get(nr).cloned();
            let changed =
                |key| due.since.is_none() || l.known.as_ref().is_some_and(|known| known.get(&key) != l.end.get(&key));
            let newest = |key| changed(key).then(|| l.end.get(&key).and_then(of));
            let is_new = |event: &StoredEvent| from.is_some_and(|from| event.pos.is_some_and(|pos| pos > from));
            let live = l.shape.shown.iter().rev().take_while(|shown| is_new(&shown.event)).count();
            let inside = Inside {
                name: newest(NAME),
                avatar: newest(AVATAR),
                heroes: chosen
                    .heroes
                    .map(|heroes| heroes.into_iter().map(|(user, nr)| (user, nr.as_ref().and_then(of))).collect()),
                counts: summaries.get(&l.room.nr).map(|(summary, _)| Arc::clone(summary)),
                state: chosen.state.iter().filter_map(of).collect(),
                live,
                unread: unread.remove(&l.room.nr),
                read: due.read,
                looked: l,
            };
            let (initial, expanded) = (due.since.is_none(), due.expanded);
            let body = match call.request.dialect {
                // Who refused an invitation learns nothing but that.
                Dialect::Stable if inside.looked.job.state == Wanted::Nothing => Body::Outside(inside.state),
                _ => Body::Inside(Box::new(inside)),
            };
            parts.push(Part { named, initial, expanded, body });
        }
        Ok(parts)
    }

    /// All events that the parts need, in one query at most.
    async fn loaded(&self, looked: &[Looked], chosen: &[Chosen]) -> Result<HashMap<EventNr, Arc<StoredEvent>>> {
        let mut numbers: Vec<EventNr> = chosen.iter().flat_map(|c| c.state.iter().copied()).collect();
        numbers.extend(chosen.iter().filter_map(|c| c.heroes.as_ref()).flatten().filter_map(|(_, nr)| *nr));
        for key in [NAME, AVATAR] {
            numbers.extend(looked.iter().filter_map(|l| l.end.get(&key).copied()));
        }
        numbers.sort_unstable();
        numbers.dedup();
        Ok(self.0.rooms.events(&numbers).await?.into_iter().map(|event| (event.nr, event)).collect())
    }

    /// Selectors for all required states that occur, those of before included.
    async fn selectors(
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
    /// The state that the config asks for and the client does not have.
    fn required(
        &self,
        due: &Due,
        required: &RequiredState,
        selectors: &HashMap<RequiredState, Selector>,
        reader: UserNr,
    ) -> Vec<(StateKey, EventNr)> {
        if self.job.state == Wanted::Nothing {
            // That they are not in it any more, asked for or not: nothing else tells the client.
            return vec![(StateKey::member(reader), self.job.own.nr)];
        }
        let Some(selector) = selectors.get(required) else { return Vec::new() };
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

/// A room of an invitation or a knock.
pub(super) fn outside(named: Named, due: &Due, state: Vec<Arc<StoredEvent>>) -> Part {
    Part { named, initial: due.since.is_none(), expanded: false, body: Body::Outside(state) }
}

impl Part {
    pub fn room(&self) -> &Arc<Room> {
        &self.named.room
    }
}
