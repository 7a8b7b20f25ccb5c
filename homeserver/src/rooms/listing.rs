//! The rooms of the public directory in memory, the fullest first. Follows the log: what it touches is read again when somebody
//! asks, so that a page costs neither a query for all rooms nor their order.

use std::{
    cmp::Reverse,
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use imbl::OrdMap;
use ruma::OwnedRoomId;

use super::{Rooms, card::Card};
use crate::{
    log::{Apply, Notice, Slice},
    storage::{self, FrameNr, Result, RoomNr, Sym},
};

/// Where a room stands: the fullest first, those of one size by their IDs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Standing {
    pub members: Reverse<i64>,
    pub room: OwnedRoomId,
}

/// A room of the directory.
#[derive(Debug)]
pub(super) struct Entry {
    pub card: Arc<Card>,
    /// Name, topic and alias in lower case, to look for terms in.
    pub text: String,
}

/// The directory at one moment. Cheap to clone.
pub(super) type Directory = OrdMap<Standing, Arc<Entry>>;

/// So many bytes of a room's texts are looked through.
const TEXT: usize = 2048;
/// So many rooms are read at a time.
const STEP: usize = 500;
/// Beyond so many touched rooms all are read again instead.
const TOUCHED: usize = 10_000;
const ATTEMPTS: usize = 3;

/// The cache behind.
#[derive(Default)]
pub(super) struct Listing {
    listed: Mutex<Listed>,
    /// One brings it up to date at a time.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Listed {
    stage: Stage,
    directory: Directory,
    standings: HashMap<RoomNr, Standing>,
    /// Rooms that the log touched since they were read, with the count of changes then.
    touched: HashMap<RoomNr, u64>,
    changes: u64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Stage {
    /// Nobody has asked yet, or too much has changed.
    #[default]
    Unread,
    /// Being read for the first time: any room may be a listed one.
    Reading,
    Read,
}

/// What is to be read.
enum Due {
    All,
    These(HashMap<RoomNr, u64>),
}

impl Listed {
    /// Notes that a room changed. `may_be_new`: it may have come to the directory by that.
    fn touch(&mut self, room: RoomNr, may_be_new: bool) {
        let matters = match self.stage {
            Stage::Unread => false,
            Stage::Reading => true,
            Stage::Read => may_be_new || self.standings.contains_key(&room),
        };
        if !matters {
            return;
        }
        self.changes += 1;
        self.touched.insert(room, self.changes);
        if self.touched.len() > TOUCHED {
            *self = Self::default();
        }
    }

    /// Puts in what was read of a room; `None`: it is not listed, or nobody is in it.
    fn put(&mut self, room: RoomNr, card: Option<Arc<Card>>) {
        if let Some(before) = self.standings.remove(&room) {
            self.directory.remove(&before);
        }
        if let Some(card) = card.filter(|card| card.num_joined_members > 0) {
            let standing = Standing { members: Reverse(card.num_joined_members), room: card.room_id.clone() };
            self.standings.insert(room, standing.clone());
            self.directory.insert(standing, Arc::new(Entry { text: text(&card), card }));
        }
    }
}

fn text(card: &Card) -> String {
    let parts = [&card.name, &card.canonical_alias, &card.topic].map(|text| text.as_deref().unwrap_or_default());
    let mut text = parts.join("\n");
    text.truncate(text.floor_char_boundary(TEXT));
    text.to_lowercase()
}

impl Listing {
    fn lock(&self) -> MutexGuard<'_, Listed> {
        // A panic between two steps leaves a room out that the next change of it puts back.
        self.listed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn due(&self) -> Due {
        let mut listed = self.lock();
        if listed.stage == Stage::Read {
            return Due::These(listed.touched.clone());
        }
        *listed = Listed { stage: Stage::Reading, ..Listed::default() };
        Due::All
    }

    /// Takes in what was read of `rooms`, and forgets that they were touched, unless they were again.
    fn take_in(&self, rooms: &[RoomNr], mut cards: HashMap<RoomNr, Arc<Card>>, touched: &HashMap<RoomNr, u64>) {
        let mut listed = self.lock();
        for room in rooms {
            listed.put(*room, cards.remove(room));
            if listed.touched.get(room).is_some_and(|at| touched.get(room) == Some(at)) {
                listed.touched.remove(room);
            }
        }
    }

    /// All is read. `false` where so much has changed meanwhile that it must be read again.
    fn finish(&self) -> bool {
        let mut listed = self.lock();
        let finished = listed.stage != Stage::Unread;
        if finished {
            listed.stage = Stage::Read;
        }
        finished
    }
}

impl Apply for Listing {
    fn apply(&self, slice: &Slice, _own: bool) {
        let mut listed = self.lock();
        if listed.stage == Stage::Unread {
            return;
        }
        match &slice.events {
            Some(events) => {
                for event in events.iter().filter(|event| event.state_key.is_some() || event.redacts.is_some()) {
                    listed.touch(event.room, event.kind == Sym::CREATE);
                }
            }
            None => slice.rooms.iter().for_each(|room| listed.touch(*room, true)),
        }
        for notice in &slice.notices {
            if let Notice::Room(room) = notice {
                listed.touch(*room, true);
            }
        }
    }
}

impl Rooms {
    /// The directory as of now.
    ///
    /// # Errors
    /// The database's own.
    pub(super) async fn listed_rooms(&self) -> Result<Directory> {
        self.0.log.caught_up().await?;
        let (listing, pool) = (&self.0.caches.listing, &self.0.pool);
        let _turn = listing.turn.lock().await;
        // Once as a rule; again where thousands of rooms change while the first asker has all of them read.
        for _ in 0..ATTEMPTS {
            let all = matches!(listing.due(), Due::All);
            if all {
                let rooms: Vec<RoomNr> = storage::room::listed(pool).await?;
                self.list(&rooms, &HashMap::new()).await?;
            }
            if !all || listing.finish() {
                self.list_touched().await?;
            }
            let listed = listing.lock();
            if listed.stage == Stage::Read {
                return Ok(listed.directory.clone());
            }
        }
        Ok(listing.lock().directory.clone())
    }

    async fn list_touched(&self) -> Result<()> {
        if let Due::These(touched) = self.0.caches.listing.due() {
            self.list(&touched.keys().copied().collect::<Vec<_>>(), &touched).await?;
        }
        Ok(())
    }

    /// Reads rooms, in steps, and lists those that are to be listed.
    async fn list(&self, rooms: &[RoomNr], touched: &HashMap<RoomNr, u64>) -> Result<()> {
        for step in rooms.chunks(STEP) {
            let frames: Vec<(RoomNr, FrameNr)> = storage::room::listed_among(&self.0.pool, step).await?;
            let cards = self.cards_of(&frames).await?;
            self.0.caches.listing.take_in(step, cards, touched);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::LogEvent;

    fn card(room: i64, members: i64) -> Arc<Card> {
        let json = serde_json::json!({ "room_id": format!("!{room}:s"), "num_joined_members": members });
        Arc::new(Card::of_test(&json))
    }

    fn slice(events: Option<Vec<LogEvent>>, notices: Vec<Notice>) -> Slice {
        let events = events.map(|events| events.into_iter().map(Arc::new).collect());
        Slice { notices, ..Slice::of_test(1, 1, vec![RoomNr(9)], events) }
    }

    fn touched(listing: &Listing) -> Vec<i64> {
        let mut touched: Vec<i64> = listing.lock().touched.keys().map(|room| room.0).collect();
        touched.sort_unstable();
        touched
    }

    #[test]
    fn what_the_log_touches_is_read_again_and_messages_touch_nothing() {
        let listing = Listing::default();
        let message = || LogEvent::of_test(RoomNr(1), 1);
        let state = |room, kind| LogEvent { state_key: Some(Sym::EMPTY), kind, ..LogEvent::of_test(RoomNr(room), 2) };
        listing.apply(&slice(Some(vec![state(1, Sym::NAME)]), Vec::new()), true);
        assert!(touched(&listing).is_empty(), "nobody has asked yet");

        assert!(matches!(listing.due(), Due::All));
        listing.apply(&slice(Some(vec![message(), state(2, Sym::NAME)]), Vec::new()), true);
        listing.take_in(&[RoomNr(1)], HashMap::from([(RoomNr(1), card(1, 5))]), &HashMap::new());
        assert!(listing.finish());
        assert_eq!(touched(&listing), [2], "what changed while it was read");
        let Due::These(due) = listing.due() else { panic!("read again") };
        listing.apply(&slice(Some(vec![state(1, Sym::NAME)]), Vec::new()), true);
        listing.take_in(&[RoomNr(2)], HashMap::new(), &due);
        assert_eq!(touched(&listing), [1]);

        // A room that is not listed matters when it is new or named in a notice; all matter where nothing is told.
        listing
            .apply(&slice(Some(vec![state(3, Sym::NAME), state(4, Sym::CREATE)]), vec![Notice::Room(RoomNr(5))]), true);
        listing.apply(&slice(None, Vec::new()), false);
        assert_eq!(touched(&listing), [1, 4, 5, 9]);

        let Due::These(due) = listing.due() else { panic!("read again") };
        listing.apply(&slice(Some(vec![state(1, Sym::NAME)]), Vec::new()), true);
        listing.take_in(&[RoomNr(1), RoomNr(4)], HashMap::from([(RoomNr(1), card(1, 6))]), &due);
        assert_eq!(touched(&listing), [1, 5, 9], "touched again since");
        assert_eq!(listing.lock().directory.keys().map(|it| it.members.0).collect::<Vec<_>>(), [6]);
    }

    #[test]
    fn too_many_changes_have_all_read_again() {
        let listing = Listing::default();
        let _ = listing.due();
        for room in 0..=TOUCHED {
            listing.lock().touch(RoomNr(i64::try_from(room).unwrap()), true);
        }
        assert!(!listing.finish() && matches!(listing.due(), Due::All));
    }
}
