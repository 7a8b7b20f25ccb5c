//! One look at the log: gathers everything that a sync tells, in a handful of queries whatever the number of rooms.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use super::{
    Sync, Token,
    account_data::{self, Notes},
    answer::{Answer, Part},
    device_lists::DeviceLists,
    look::Looked,
    plan::{Job, jobs},
    poll::News,
    reader::Reader,
    scope::{Change, Moved, Standing},
    to_device::LIMIT,
    typing::Typing,
};
use crate::{
    log::Changes,
    presence::Since,
    rooms::Room,
    storage::{self, EventNr, Pos, Result, RoomNr, UserNr, member::OfUser},
};

/// What a sync is to tell, before its rooms are looked at.
struct Gathered {
    /// What became of the reader in rooms.
    moved: Vec<Moved>,
    jobs: Vec<Job>,
    /// Rooms in which something may have happened to which the reader has been joined all the time.
    stayed: HashSet<RoomNr>,
    invited: Vec<OfUser>,
    knocked: Vec<OfUser>,
    /// Those of the jobs, invitations and knocks.
    rooms: HashMap<RoomNr, Arc<Room>>,
    notes: Notes,
    typing: Typing,
}

impl Sync {
    /// What is new after `since`, up to what this node has seen.
    ///
    /// # Errors
    /// The database's own.
    pub(super) async fn read(&self, reader: &Reader, since: Option<&Token>) -> Result<News> {
        // Before anything that has a stamp is looked at.
        let (stamp, positions) = (self.0.presence.stamp(), self.0.presence.positions());
        let standing = self.standing(reader.user).await?;
        let (from, until) = (since.map_or(Pos(0), |token| token.pos), standing.until);
        let Gathered { moved, jobs, mut stayed, invited, knocked, rooms, notes, typing } =
            self.gather(reader, since, &standing).await?;
        let from_messages = since.map_or(Pos(0), |token| token.to_device);
        let messages = self.to_device(reader.device, from_messages, until, LIMIT).await?;

        let ignored = self.ignored(reader.user).await?;
        let looked = self.look(reader, jobs, &rooms, &ignored, until).await?;
        let device_lists = match since {
            Some(_) => {
                // What filters leave out, and what was looked at as a whole, is looked at for this alone.
                let members = members_of(&looked, &mut stayed);
                let rest: Vec<RoomNr> = stayed.into_iter().collect();
                self.device_lists(reader.user, &rest, members, &moved, (from, until)).await?
            }
            None => DeviceLists::default(),
        };
        let met = self.met(&looked, since.is_some()).await?;
        let presence = self.presence(reader, &standing.memberships.joined, since, met).await?;
        let receipts = self.wanted_receipts(reader, &looked, from, until).await?;
        let parts = self.parts(reader, looked, from, until).await?;

        let mut answer = Answer {
            next: Token {
                generation: self.0.log.generation(),
                pos: until,
                to_device: messages.until,
                ephemeral: stamp,
                node: self.0.presence.node(),
                positions,
            },
            join: Vec::new(),
            leave: Vec::new(),
            invite: self.outside(&invited, &rooms).await?,
            knock: self.outside(&knocked, &rooms).await?,
            account_data: notes.global,
            to_device: messages.events,
            presence: presence.events,
            only_own_presence: !presence.of_others,
            device_lists,
            key_counts: self.key_counts(reader.device, false).await?,
        };
        account_data::keep(&mut answer.account_data, &reader.filter.account_data);
        self.fill(&mut answer, reader, parts, notes.rooms, receipts, typing.rooms, since.is_some()).await?;
        self.count_unread(reader.user, &mut answer.join).await?;
        let empty = answer.is_empty();
        if let (true, true, Some(since)) = (empty, presence.of_own, since)
            && self.known(Some(since)) != Since::Nothing
        {
            // It goes along with the next answer.
            let Token { ephemeral, node, positions, .. } = since.clone();
            answer.next = Token { ephemeral, node, positions, ..answer.next };
        }
        let body = self.write(&answer, reader).await?;
        Ok(News { body, next: answer.next, empty })
    }

    /// Finds out which rooms are to be looked at, and what is beside them.
    async fn gather(&self, reader: &Reader, since: Option<&Token>, standing: &Standing) -> Result<Gathered> {
        let (from, until) = (since.map(|token| token.pos), standing.until);
        let moved = match from {
            Some(from) => self.moved(reader.user, standing, from).await?,
            None => self.since_the_beginning(standing, reader.filter.include_leave).await?,
        };
        let mut notes = self.account_data(reader, from, until).await?;
        let typing = self.typing(&standing.memberships.joined, since);

        let mut touched: BTreeSet<RoomNr> = match from {
            None => BTreeSet::new(),
            Some(_) if reader.full_state => standing.memberships.joined.iter().copied().collect(),
            Some(from) => self.touched_rooms(reader.user, standing, from).await?.into_iter().collect(),
        };
        let stayed: HashSet<RoomNr> = Self::stayed(touched.iter().copied(), &moved).into_iter().collect();
        touched.extend(notes.rooms.keys().chain(typing.rooms.keys()));
        let mut jobs = jobs(reader, standing, &moved, touched, from);

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

        // What was noted about a room that is new to the device may be older than the last sync.
        let newly: Vec<RoomNr> = jobs.iter().filter(|job| job.newly).map(|job| job.own.room).collect();
        notes.rooms.extend(self.account_data_of(reader.user, &newly, until).await?.rooms);
        Ok(Gathered { moved, jobs, stayed, invited, knocked, rooms, notes, typing })
    }

    /// Puts into rooms' parts how much is unread.
    async fn count_unread(&self, user: UserNr, parts: &mut [Part]) -> Result<()> {
        let rooms: Vec<RoomNr> = parts.iter().map(|part| part.room.nr).collect();
        let mut unread = self.0.rooms.counts(user, &rooms).await?;
        for part in parts {
            // Who has just joined has not read anything, and nothing there is for them to read.
            part.unread = Some(unread.remove(&part.room.nr).unwrap_or_default());
        }
        Ok(())
    }

    /// Only the device lists of such a look.
    ///
    /// # Errors
    /// The database's own.
    pub(super) async fn read_device_lists(&self, user: UserNr, since: Pos) -> Result<DeviceLists> {
        let standing = self.standing(user).await?;
        let moved = self.moved(user, &standing, since).await?;
        let touched = self.touched_rooms(user, &standing, since).await?;
        let stayed = Self::stayed(touched, &moved);
        self.device_lists(user, &stayed, Vec::new(), &moved, (since, standing.until)).await
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
}

/// The members that changed in those of the rooms looked at to which the reader has been joined all the time; these are
/// taken out of `stayed`.
fn members_of(looked: &[Looked], stayed: &mut HashSet<RoomNr>) -> Vec<(UserNr, Option<EventNr>, EventNr)> {
    let known = looked.iter().filter(|l| l.job.state.has_before() && stayed.remove(&l.room.nr));
    known.flat_map(|l| &l.members).copied().collect()
}
