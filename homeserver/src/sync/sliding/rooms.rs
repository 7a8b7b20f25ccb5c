//! The parts of rooms: what is told of each room that is due.

use std::{collections::HashMap, sync::Arc};

use super::{
    super::{Sync, look::Looked, plan::Wanted},
    Dialect,
    call::Call,
    names::{AVATAR, NAME, Names},
    window::{Due, Named},
};
use crate::{
    rooms::{Room, StoredEvent, unread::Unread},
    storage::{EventNr, Pos, Result, RoomNr, UserNr, sync::Summary},
};

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

type Events = HashMap<EventNr, Arc<StoredEvent>>;

impl Sync {
    /// Makes the parts of the rooms that were looked at: chooses events for each, loads all of them, and puts them together.
    ///
    /// # Errors
    /// The database's own.
    pub(super) async fn inside_parts(
        &self,
        call: &Call,
        connection: u64,
        mut looked: Vec<Looked>,
        dues: &HashMap<RoomNr, (Named, Due)>,
        (from, until): (Option<Pos>, Pos),
    ) -> Result<Vec<Part>> {
        let reader = &call.reader;
        looked.retain(|l| dues.contains_key(&l.room.nr));
        let selectors = self.selectors(reader.user, &looked, dues).await?;
        let names = self.names(reader.user, &looked, dues).await?;
        let mut unread = self.told_unread(call, &looked).await?;
        let told = self.0.told.of(reader.device, connection);
        let choose = |l: &Looked| {
            let (named, due) = dues.get(&l.room.nr)?;
            let state = l.state_for(named, due, &selectors, reader.user, &told, (from, until));
            Some(Chosen { state, heroes: names.heroes(l, reader.user) })
        };
        let chosen: Vec<Chosen> = looked.iter().filter_map(choose).collect();
        let events = self.loaded(&looked, &chosen).await?;
        let make = |(l, chosen): (Looked, Chosen)| {
            let (named, due) = dues.get(&l.room.nr).cloned()?;
            let unread = unread.remove(&l.room.nr);
            Some(part(call.request.dialect, named, &due, inside(l, chosen, &due, &names, &events, unread, from)))
        };
        Ok(looked.into_iter().zip(chosen).filter_map(make).collect())
    }

    /// How much the reader has not read, for the dialect that tells it.
    async fn told_unread(&self, call: &Call, looked: &[Looked]) -> Result<HashMap<RoomNr, Unread>> {
        let joined: Vec<RoomNr> = looked.iter().filter(|l| !l.job.left).map(|l| l.room.nr).collect();
        match call.request.dialect {
            Dialect::Unstable => self.0.rooms.counts(call.reader.user, &joined).await,
            Dialect::Stable => Ok(HashMap::new()),
        }
    }

    /// All events that the parts need, in one query at most.
    async fn loaded(&self, looked: &[Looked], chosen: &[Chosen]) -> Result<Events> {
        let mut numbers: Vec<EventNr> = chosen.iter().flat_map(|c| c.state.iter().copied()).collect();
        numbers.extend(chosen.iter().filter_map(|c| c.heroes.as_ref()).flatten().filter_map(|(_, nr)| *nr));
        for key in [NAME, AVATAR] {
            numbers.extend(looked.iter().filter_map(|l| l.end.get(&key).copied()));
        }
        numbers.sort_unstable();
        numbers.dedup();
        Ok(self.0.rooms.events(&numbers).await?.into_iter().map(|event| (event.nr, event)).collect())
    }
}

fn inside(
    l: Looked,
    chosen: Chosen,
    due: &Due,
    names: &Names,
    events: &Events,
    unread: Option<Unread>,
    from: Option<Pos>,
) -> Inside {
    let of = |nr: &EventNr| events.get(nr).cloned();
    let newest = |key| names.is_news(&l, due, key).then(|| l.end.get(&key).and_then(of));
    let is_new = |event: &StoredEvent| from.is_some_and(|from| event.pos.is_some_and(|pos| pos > from));
    let with_member = |(user, nr): (UserNr, Option<EventNr>)| (user, nr.as_ref().and_then(of));
    Inside {
        name: newest(NAME),
        avatar: newest(AVATAR),
        heroes: chosen.heroes.map(|heroes| heroes.into_iter().map(with_member).collect()),
        counts: names.counts(l.room.nr),
        state: chosen.state.iter().filter_map(of).collect(),
        live: l.shape.shown.iter().rev().take_while(|shown| is_new(&shown.event)).count(),
        unread,
        read: due.read,
        looked: l,
    }
}

fn part(dialect: Dialect, named: Named, due: &Due, inside: Inside) -> Part {
    let body = match dialect {
        // Who refused an invitation learns nothing but that.
        Dialect::Stable if inside.looked.job.state == Wanted::Nothing => Body::Outside(inside.state),
        _ => Body::Inside(Box::new(inside)),
    };
    Part { named, initial: due.since.is_none(), expanded: due.expanded, body }
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
