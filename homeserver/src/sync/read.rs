//! One look at the log: gathers everything that a sync tells, in a handful of queries whatever the number of rooms.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use super::{
    Sync, Token, account_data,
    answer::{Answer, Part},
    device_lists::DeviceLists,
    filter::LazyMembers,
    look::Looked,
    plan::{Wanted, from_the_beginning, jobs},
    poll::{News, Reader, StateAfter},
    scope::{Change, Standing},
    state, summary,
    to_device::LIMIT,
};
use crate::{
    log::Changes,
    rooms::{StateKey, StoredEvent},
    storage::{self, EventNr, Pos, Result, RoomNr, Sym, UserNr, member::OfUser, sync::Summary},
};

/// What names a room, so that nobody need stand for it.
const NAMING: [(StateKey, &str); 2] =
    [(StateKey::of(Sym::NAME), "name"), (StateKey::of(Sym::CANONICAL_ALIAS), "alias")];

impl Sync {
    /// What is new after `since`, up to what this node has seen.
    ///
    /// # Errors
    /// The database's own.
    pub(super) async fn read(&self, reader: &Reader, since: Option<Token>) -> Result<News> {
        // Before anything that has a stamp is looked at.
        let stamp = self.0.presence.stamp();
        let standing = self.standing(reader.user).await?;
        let (from, until) = (since.map_or(Pos(0), |token| token.pos), standing.until);
        let ignored = self.ignored(reader.user).await?;
        let moved = match since {
            Some(_) => self.moved(reader.user, &standing, from).await?,
            None => from_the_beginning(&standing, reader),
        };
        let mut notes = self.account_data(reader, since.map(|token| token.pos), until).await?;
        let messages =
            self.to_device(reader.device, since.map_or(Pos(0), |token| token.to_device), until, LIMIT).await?;
        let typing = self.typing(&standing.memberships.joined, since.as_ref());

        let mut touched: BTreeSet<RoomNr> = match since {
            None => BTreeSet::new(),
            Some(_) if reader.full_state => standing.memberships.joined.iter().copied().collect(),
            Some(_) => self.touched_rooms(reader.user, &standing, from).await?.into_iter().collect(),
        };
        touched.extend(notes.rooms.keys().chain(typing.rooms.keys()));
        let mut jobs = jobs(reader, &standing, &moved, touched, since.map(|token| token.pos));
        let outside = |change| moved.iter().filter(move |m| m.change == change).map(|m| m.current);
        let (mut invited, knocked): (Vec<OfUser>, Vec<OfUser>) =
            (outside(Change::Invited).collect(), outside(Change::Knocked).collect());
        let unwanted = self.unwanted(reader.user, &invited).await?;
        invited.retain(|own| !unwanted.contains(&own.room));

        let numbers: Vec<RoomNr> =
            jobs.iter().map(|job| job.own.room).chain(invited.iter().chain(&knocked).map(|m| m.room)).collect();
        let mut rooms = self.0.rooms.find_many(&numbers).await?;
        rooms.retain(|_, room| reader.filter.rooms.takes(&room.id));
        jobs.retain(|job| rooms.contains_key(&job.own.room));

        let newly: Vec<RoomNr> =
            jobs.iter().filter(|job| job.newly && since.is_some()).map(|job| job.own.room).collect();
        notes.rooms.extend(self.account_data_of(reader.user, &newly, until).await?.rooms);

        let looked = self.look(reader, jobs, &rooms, &ignored, until).await?;
        let lists = match since {
            Some(_) => self.device_lists(reader.user, others(reader.user, &looked), &moved, from, until).await?,
            None => DeviceLists::default(),
        };
        let met = self.met(&looked, since.is_some()).await?;
        let presence = self.presence(reader, &standing.memberships.joined, since.as_ref(), met).await?;
        let receipts = self.wanted_receipts(reader, &looked, from, until).await?;
        let parts = self.parts(reader, looked, from, until).await?;

        let mut answer = Answer {
            next: Token {
                generation: self.0.log.generation(),
                pos: until,
                to_device: messages.until,
                ephemeral: stamp,
                node: self.0.presence.node(),
            },
            join: Vec::new(),
            leave: Vec::new(),
            invite: self.outside(&invited, &rooms).await?,
            knock: self.outside(&knocked, &rooms).await?,
            account_data: notes.global,
            to_device: messages.events,
            presence: presence.events,
            only_own_presence: !presence.of_others,
            device_lists: lists,
            key_counts: self.key_counts(reader.device, false).await?,
        };
        account_data::keep(&mut answer.account_data, &reader.filter.account_data);
        self.fill(&mut answer, reader, parts, notes.rooms, receipts, typing.rooms, since.is_some()).await?;
        let empty = answer.is_empty();
        let joined: Vec<RoomNr> = answer.join.iter().map(|part| part.room.nr).collect();
        let mut unread = self.0.rooms.counts(reader.user, &joined).await?;
        for part in &mut answer.join {
            // Who has just joined has not read anything, and nothing there is for them to read.
            part.unread = Some(unread.remove(&part.room.nr).unwrap_or_default());
        }
        if let (true, true, Some(since)) =
            (empty, presence.of_own, since.filter(|since| since.node == answer.next.node))
        {
            // It goes along with the next answer.
            answer.next.ephemeral = since.ephemeral;
        }
        let body = self.write(&answer, reader).await?;
        Ok(News { body, next: answer.next, empty })
    }

    /// Only the device lists of such a look.
    ///
    /// # Errors
    /// The database's own.
    pub(super) async fn read_device_lists(&self, user: UserNr, since: Pos) -> Result<DeviceLists> {
        let standing = self.standing(user).await?;
        let moved = self.moved(user, &standing, since).await?;
        let touched = self.touched_rooms(user, &standing, since).await?;
        let mut members = self.changed_members(&touched, since, standing.until).await?;
        members.retain(|(member, ..)| *member != user);
        self.device_lists(user, members, &moved, since, standing.until).await
    }

    /// Whom the reader has come together with since the last sync: everybody in the rooms that they joined, and who came
    /// into the others.
    async fn met(&self, looked: &[Looked], incremental: bool) -> Result<Vec<UserNr>> {
        let mut met = Vec::new();
        if !incremental {
            return Ok(met);
        }
        for l in looked.iter().filter(|l| !l.job.left) {
            if l.job.newly {
                met.extend(self.0.rooms.joined_members(l.room.nr).await?.iter());
            } else {
                met.extend(l.members.iter().map(|(user, ..)| *user));
            }
        }
        Ok(met)
    }

    /// The joined rooms in which something happened after `since`.
    ///
    /// # Errors
    /// The database's own.
    pub(super) async fn touched_rooms(&self, user: UserNr, standing: &Standing, since: Pos) -> Result<Vec<RoomNr>> {
        let joined = &standing.memberships.joined;
        Ok(match self.0.log.changes(user, joined, since) {
            Changes::None => Vec::new(),
            Changes::Some { rooms, .. } => rooms,
            Changes::Unknown => storage::sync::touched_rooms(&self.0.pool, joined, since).await?,
        })
    }

    async fn wanted_receipts(
        &self,
        reader: &Reader,
        looked: &[Looked],
        since: Pos,
        until: Pos,
    ) -> Result<HashMap<RoomNr, Vec<storage::sync::Receipt>>> {
        let filter = &reader.filter.ephemeral;
        if !filter.types.takes("m.receipt") {
            return Ok(HashMap::new());
        }
        let wanted: Vec<(RoomNr, Pos)> = looked
            .iter()
            .filter(|l| !l.job.left && filter.takes_room(&l.room.id))
            .map(|l| (l.room.nr, if l.job.newly { Pos(0) } else { since }))
            .collect();
        self.receipts(&wanted, until, reader.user).await
    }

    /// Chooses each room's state, and loads it.
    async fn parts(&self, reader: &Reader, looked: Vec<Looked>, since: Pos, until: Pos) -> Result<Vec<Part>> {
        let due = |l: &&Looked| !l.job.left && (l.job.state == Wanted::Whole || !l.members.is_empty());
        let summaries = self.wanted_summaries(&looked.iter().filter(due).collect::<Vec<_>>(), &NAMING).await?;
        let lazy = reader.filter.lazy_members;
        let told = self.0.told.of(reader.device, 0);
        let mut chosen: Vec<Vec<(StateKey, EventNr)>> = Vec::with_capacity(looked.len());
        for l in &looked {
            let heroes = summaries.get(&l.room.nr).map(|(summary, _)| summary::heroes(summary, reader.user));
            let mut state = l.state(reader, heroes.unwrap_or_default());
            if lazy != LazyMembers::No {
                let explain = l.missing_senders(reader, &state);
                let again = |(user, nr): &(UserNr, EventNr)| {
                    lazy == LazyMembers::Redundant || !told.knows(l.room.nr, *user, *nr, since)
                };
                state.extend(explain.into_iter().filter(again).map(|(user, nr)| (StateKey::member(user), nr)));
                let members = state.iter().filter(|(key, _)| key.kind == Sym::MEMBER).map(|(key, nr)| (key.key, *nr));
                told.tell(l.room.nr, members.chain(l.members_in_timeline()), until);
            }
            chosen.push(state.into_iter().collect());
        }
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
    fn state(&self, reader: &Reader, heroes: Vec<UserNr>) -> BTreeMap<StateKey, EventNr> {
        let at_end = reader.state_after != StateAfter::No;
        if self.job.state == Wanted::Whole {
            let state = if at_end { &self.end } else { &self.start };
            return match reader.filter.lazy_members {
                LazyMembers::No => state.iter().map(|(key, nr)| (*key, *nr)).collect(),
                _ => state::without_members(state, heroes.into_iter().chain([reader.user])),
            };
        }
        let Some(known) = &self.known else { return BTreeMap::new() };
        if at_end {
            return state::changes(known, &self.end).into_iter().map(|(key, _, nr)| (key, nr)).collect();
        }
        let in_timeline: HashSet<EventNr> = self.shape.shown.iter().map(|shown| shown.event.nr).collect();
        state::gap(known, &self.start, &self.end, &in_timeline)
    }

    /// The memberships of the timeline's senders that stand neither in `state` nor in the timeline.
    fn missing_senders(&self, reader: &Reader, state: &BTreeMap<StateKey, EventNr>) -> Vec<(UserNr, EventNr)> {
        if self.job.state == Wanted::Nothing {
            return Vec::new();
        }
        let at_end = reader.state_after != StateAfter::No;
        let map = if at_end { &self.end } else { &self.start };
        let senders: BTreeSet<UserNr> = self.shape.shown.iter().map(|shown| shown.event.sender).collect();
        let in_timeline: HashSet<UserNr> =
            if at_end { HashSet::new() } else { self.members_in_timeline().map(|(user, _)| user).collect() };
        let missing = |user: &UserNr| !state.contains_key(&StateKey::member(*user)) && !in_timeline.contains(user);
        let of = |user| Some((user, *map.get(&StateKey::member(user))?));
        senders.into_iter().filter(missing).filter_map(of).collect()
    }

    fn members_in_timeline(&self) -> impl Iterator<Item = (UserNr, EventNr)> {
        let member = |event: &Arc<StoredEvent>| (event.kind == Sym::MEMBER).then_some((event.state_key?, event.nr));
        self.shape.shown.iter().filter_map(move |shown| member(&shown.event))
    }
}

/// The members that changed, the reader apart.
fn others(reader: UserNr, looked: &[Looked]) -> Vec<(UserNr, Option<EventNr>, EventNr)> {
    looked.iter().flat_map(|l| &l.members).filter(|(user, ..)| *user != reader).copied().collect()
}
