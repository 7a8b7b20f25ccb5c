//! What stands for a room: its name and picture, and where it has no name those whom clients name it after.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::{
    super::{Sync, look::Looked, summary},
    window::{Due, Named},
};
use crate::{
    rooms::{StateKey, StoredEvent},
    storage::{EventNr, Pos, Result, RoomNr, Sym, UserNr, sync::Summary},
};

pub(super) const NAME: StateKey = StateKey::of(Sym::NAME);
pub(super) const AVATAR: StateKey = StateKey::of(Sym::AVATAR);
/// What names a room: an alias is for people to type.
const NAMING: [(StateKey, &str); 1] = [(NAME, "name")];

/// What is new of rooms' names, pictures and heroes.
pub(super) struct Names {
    /// Of the rooms whose summary is due, each with whether it has no name.
    summaries: HashMap<RoomNr, (Arc<Summary>, bool)>,
    /// Names and pictures that were redacted since the client was told of them.
    redacted: HashSet<EventNr>,
}

impl Names {
    /// How many are in the room, where the client is to be told.
    pub fn counts(&self, room: RoomNr) -> Option<Arc<Summary>> {
        self.summaries.get(&room).map(|(summary, _)| Arc::clone(summary))
    }

    /// Those who stand for the room in the eyes of `reader`, with their memberships, where the client is to be told.
    pub fn heroes(&self, l: &Looked, reader: UserNr) -> Option<Vec<(UserNr, Option<EventNr>)>> {
        let (summary, _) = self.summaries.get(&l.room.nr).filter(|(_, unnamed)| *unnamed)?;
        let member = |user| (user, l.end.get(&StateKey::member(user)).copied());
        Some(summary::heroes(summary, reader).into_iter().map(member).collect())
    }

    /// Whether the client is to be told what stands under `key`, or that nothing does.
    pub fn is_news(&self, l: &Looked, due: &Due, key: StateKey) -> bool {
        due.since.is_none() || l.differs(key) || l.is_among(key, &self.redacted)
    }
}

impl Sync {
    /// What is new of the names of the rooms that were looked at; in a few queries at most, none as a rule.
    ///
    /// # Errors
    /// The database's own.
    pub(super) async fn names(
        &self,
        reader: UserNr,
        looked: &[Looked],
        dues: &HashMap<RoomNr, (Named, Due)>,
    ) -> Result<Names> {
        let redacted = self.redacted(looked, dues).await?;
        let summaries = self.sliding_summaries(reader, looked, dues, &redacted).await?;
        Ok(Names { summaries, redacted })
    }

    /// Of what stands for the rooms (names, pictures) what was redacted since the client was told of it.
    async fn redacted(&self, looked: &[Looked], dues: &HashMap<RoomNr, (Named, Due)>) -> Result<HashSet<EventNr>> {
        let known = looked.iter().filter_map(|l| Some((l, l.news_since(dues)?)));
        let asked = known.flat_map(|(l, since)| {
            [NAME, AVATAR].into_iter().filter_map(move |key| Some((l.end.get(&key).copied()?, since)))
        });
        self.redacted_since(&asked.collect::<Vec<_>>()).await
    }

    /// Those of the events that were redacted after the position that stands with them.
    async fn redacted_since(&self, asked: &[(EventNr, Pos)]) -> Result<HashSet<EventNr>> {
        let events = self.0.rooms.events(&asked.iter().map(|(nr, _)| *nr).collect::<Vec<_>>()).await?;
        let redacted: Vec<(EventNr, EventNr, Pos)> = events
            .iter()
            .zip(asked)
            .filter_map(|(event, (_, since))| Some((event.nr, event.redacted_by?, *since)))
            .collect();
        let by = self.0.rooms.events(&redacted.iter().map(|(_, by, _)| *by).collect::<Vec<_>>()).await?;
        let newer = redacted.iter().zip(&by).filter(|((.., since), by)| by.pos.is_some_and(|pos| pos > *since));
        Ok(newer.map(|((nr, ..), _)| *nr).collect())
    }

    /// Those of the rooms that have no name.
    async fn unnamed(&self, looked: &[&Looked]) -> Result<HashSet<RoomNr>> {
        let numbers: Vec<EventNr> = looked.iter().filter_map(|l| l.end.get(&NAME).copied()).collect();
        let events = self.0.rooms.events(&numbers).await?;
        let says = |event: &StoredEvent| {
            event.content_value("name").is_some_and(|value| value.starts_with('"') && value.len() > 2)
        };
        let named: HashSet<RoomNr> = events.iter().filter(|event| says(event)).map(|event| event.room).collect();
        Ok(looked.iter().map(|l| l.room.nr).filter(|room| !named.contains(room)).collect())
    }

    /// The summaries that are due: of rooms that are new to the client, whose members changed or that were renamed, and of
    /// those without a name where somebody who stands for it lost theirs.
    async fn sliding_summaries(
        &self,
        reader: UserNr,
        looked: &[Looked],
        dues: &HashMap<RoomNr, (Named, Due)>,
        redacted: &HashSet<EventNr>,
    ) -> Result<HashMap<RoomNr, (Arc<Summary>, bool)>> {
        let is_initial = |l: &Looked| dues.get(&l.room.nr).is_none_or(|(_, due)| due.since.is_none());
        let is_due =
            |l: &Looked| is_initial(l) || !l.members.is_empty() || l.differs(NAME) || l.is_among(NAME, redacted);
        let (due, others): (Vec<&Looked>, Vec<&Looked>) =
            looked.iter().filter(|l| !l.job.left).partition(|l| is_due(l));
        let mut summaries = self.wanted_summaries(&due, &NAMING).await?;

        let news: Vec<(&Looked, Pos)> = others.iter().filter_map(|l| Some((*l, l.news_since(dues)?))).collect();
        let unnamed = self.unnamed(&news.iter().map(|(l, _)| *l).collect::<Vec<_>>()).await?;
        let news: Vec<(&Looked, Pos)> = news.into_iter().filter(|(l, _)| unnamed.contains(&l.room.nr)).collect();
        let found = self.wanted_summaries(&news.iter().map(|(l, _)| *l).collect::<Vec<_>>(), &NAMING).await?;
        let heroes = news.iter().flat_map(|(l, since)| {
            let heroes = found.get(&l.room.nr).map(|(summary, _)| summary::heroes(summary, reader));
            let member = |user| Some((l.end.get(&StateKey::member(user)).copied()?, *since));
            heroes.into_iter().flatten().filter_map(member).collect::<Vec<_>>()
        });
        let heroes: Vec<(EventNr, Pos)> = heroes.collect();
        let redacted = self.redacted_since(&heroes).await?;
        for (l, _) in &news {
            let lost = |user| l.is_among(StateKey::member(user), &redacted);
            if let Some((summary, unnamed)) = found.get(&l.room.nr)
                && summary::heroes(summary, reader).into_iter().any(lost)
            {
                summaries.insert(l.room.nr, (Arc::clone(summary), *unnamed));
            }
        }
        Ok(summaries)
    }
}

impl Looked {
    /// Up to where the client knows the room, if something happened there since.
    fn news_since(&self, dues: &HashMap<RoomNr, (Named, Due)>) -> Option<Pos> {
        dues.get(&self.room.nr).filter(|(_, due)| due.news && !self.job.left).and_then(|(_, due)| due.since)
    }

    /// Whether another event stands under `key` than the client knows.
    fn differs(&self, key: StateKey) -> bool {
        self.known.as_ref().is_some_and(|known| known.get(&key) != self.end.get(&key))
    }

    fn is_among(&self, key: StateKey, events: &HashSet<EventNr>) -> bool {
        self.end.get(&key).is_some_and(|nr| events.contains(nr))
    }
}
