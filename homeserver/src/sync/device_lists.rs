//! `device_lists`: whose keys a client must fetch, and whose it need not follow any more.
//!
//! Source: client-server API, "Tracking the device list for a user", and "Extensions to /sync" of end-to-end encryption.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::{
    Sync,
    look::member_changes,
    scope::{Change, Moved},
};
use crate::{
    rooms::StateKey,
    storage::{self, EventNr, FrameNr, Membership, Pos, Result, RoomNr, UserNr},
};

/// What may change the lists of one reader. A user is met in a room that the reader is joined to, where they are joined or
/// invited.
#[derive(Debug, Default)]
pub(super) struct Causes {
    /// Users whose devices or keys changed, wherever they are.
    pub changed: Vec<UserNr>,
    /// What became of other users in rooms that the reader is joined to.
    pub members: Vec<Transition>,
    /// Who is met in rooms that the reader has joined.
    pub in_joined: Vec<UserNr>,
    /// Who was met in rooms that the reader has left, as of when the client last heard; in rooms left and joined again too.
    pub in_left: Vec<UserNr>,
}

/// A user's membership of some room, before and after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Transition {
    pub user: UserNr,
    pub before: Option<Membership>,
    pub after: Membership,
}

/// Members that changed: user, event before, event after.
type Changes = Vec<(UserNr, Option<EventNr>, EventNr)>;

/// The answer's section.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct DeviceLists {
    pub changed: Vec<UserNr>,
    pub left: Vec<UserNr>,
}

impl Sync {
    /// The members that changed in `rooms` with `since < pos <= until`: user, event before, event after.
    ///
    /// # Errors
    /// The database's own.
    pub(super) async fn changed_members(&self, rooms: &[RoomNr], since: Pos, until: Pos) -> Result<Changes> {
        if rooms.is_empty() {
            return Ok(Vec::new());
        }
        let at = |pos: Pos| rooms.iter().map(|room| (*room, pos)).collect::<Vec<_>>();
        let (before, after) =
            (self.0.rooms.last_before(&at(since)).await?, self.0.rooms.last_before(&at(until)).await?);
        let frames = rooms.iter().filter_map(|room| Some((before.get(room)?.frame, after.get(room)?.frame)));
        let (before, after): (Vec<FrameNr>, Vec<FrameNr>) = frames.filter(|(before, after)| before != after).unzip();
        let (before, after) = (self.0.rooms.state_many(&before).await?, self.0.rooms.state_many(&after).await?);
        Ok(before.iter().zip(&after).flat_map(|(before, after)| member_changes(&before.state, &after.state)).collect())
    }

    /// What changed with `since < pos <= until`. `stayed`: rooms in which something may have happened to which `reader` has
    /// been joined all the time; `members`: what is known of more such rooms already.
    ///
    /// # Errors
    /// The database's own.
    pub(super) async fn device_lists(
        &self,
        reader: UserNr,
        stayed: &[RoomNr],
        mut members: Changes,
        moved: &[Moved],
        (since, until): (Pos, Pos),
    ) -> Result<DeviceLists> {
        let changed = match self.0.caches.touched.device_changes(since, until) {
            Some(changed) => changed,
            None => storage::sync::device_changes(&self.0.pool, since, until).await?,
        };
        members.extend(self.changed_members(stayed, since, until).await?);
        let members = self.transitions(&members).await?;
        let mut causes = Causes { changed, members, ..Causes::default() };
        for change in moved {
            let room = change.current.room;
            match change.change {
                Change::Joined { .. } => {
                    causes.in_joined.extend(storage::member::present(&self.0.pool, room).await?);
                    causes.in_left.extend(self.met_before(reader, room, since).await?);
                }
                Change::Left { .. } => causes.in_left.extend(self.met_before(reader, room, since).await?),
                Change::Stayed | Change::Invited | Change::Knocked => {}
            }
        }
        let candidates = causes.candidates(reader);
        let sharing = if candidates.is_empty() {
            Vec::new()
        } else {
            storage::sync::sharing_a_room(&self.0.pool, reader, &candidates).await?
        };
        Ok(causes.lists(reader, &sharing))
    }

    /// Those of `touched` that the reader did not come into or go out of.
    pub(super) fn stayed(touched: impl IntoIterator<Item = RoomNr>, moved: &[Moved]) -> Vec<RoomNr> {
        let moved: HashSet<RoomNr> =
            moved.iter().filter(|m| m.change != Change::Stayed).map(|m| m.current.room).collect();
        touched.into_iter().filter(|room| !moved.contains(room)).collect()
    }

    /// Whom the reader met in `room` as of `since`; nobody where they were not in it then.
    async fn met_before(&self, reader: UserNr, room: RoomNr, since: Pos) -> Result<Vec<UserNr>> {
        let Some(place) = self.0.rooms.last_before(&[(room, since)]).await?.remove(&room) else {
            return Ok(Vec::new());
        };
        let before = self.0.rooms.state(place.frame).await?;
        let Some(own) = before.state.get(&StateKey::member(reader)) else { return Ok(Vec::new()) };
        if self.0.rooms.event(*own).await?.membership != Some(Membership::Join) {
            return Ok(Vec::new());
        }
        // In this order: whoever comes or goes between the two looks is in the second.
        let mut met: BTreeSet<UserNr> = storage::member::present(&self.0.pool, room).await?.into_iter().collect();
        let frames = storage::sync::frames(&self.0.pool, &[room]).await?;
        let Some((_, now)) = frames.first() else { return Ok(Vec::new()) };
        let now = self.0.rooms.state(*now).await?;
        for transition in self.transitions(&member_changes(&before.state, &now.state)).await? {
            if transition.was_met() {
                met.insert(transition.user);
            } else {
                met.remove(&transition.user);
            }
        }
        Ok(met.into_iter().collect())
    }

    async fn transitions(&self, members: &[(UserNr, Option<EventNr>, EventNr)]) -> Result<Vec<Transition>> {
        let numbers: Vec<EventNr> = members.iter().flat_map(|(_, old, new)| old.iter().chain([new])).copied().collect();
        let events = self.0.rooms.events(&numbers).await?;
        let memberships: HashMap<EventNr, Option<Membership>> =
            events.iter().map(|event| (event.nr, event.membership)).collect();
        let of = |nr: EventNr| memberships.get(&nr).copied().flatten();
        let transition = |(user, old, new): &(UserNr, Option<EventNr>, EventNr)| {
            Some(Transition { user: *user, before: old.and_then(of), after: of(*new)? })
        };
        Ok(members.iter().filter_map(transition).collect())
    }
}

impl DeviceLists {
    pub fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.left.is_empty()
    }
}

fn is_met(membership: Membership) -> bool {
    matches!(membership, Membership::Join | Membership::Invite)
}

impl Transition {
    /// Whether a member of the room knew them.
    fn was_met(&self) -> bool {
        self.before.is_some_and(is_met)
    }
}

impl Causes {
    fn arrived(&self) -> impl Iterator<Item = UserNr> {
        // Both when invited, so that keys are there for the first message, and when joining: nobody is woken by changes of
        // those who are invited, and an answer may tell of one late.
        let came = |t: &&Transition| match t.after {
            Membership::Join => t.before != Some(Membership::Join),
            Membership::Invite => !matches!(t.before, Some(Membership::Join | Membership::Invite)),
            _ => false,
        };
        self.members.iter().filter(came).map(|t| t.user)
    }

    fn departed(&self) -> impl Iterator<Item = UserNr> {
        let gone = |t: &&Transition| t.was_met() && !is_met(t.after);
        self.members.iter().filter(gone).map(|t| t.user).chain(self.in_left.iter().copied())
    }

    /// The users of whom it must be known whether they share a room with the reader, sorted.
    pub fn candidates(&self, reader: UserNr) -> Vec<UserNr> {
        let users: BTreeSet<UserNr> = self.changed.iter().copied().chain(self.departed()).collect();
        users.into_iter().filter(|user| *user != reader).collect()
    }

    /// The lists, given which of the candidates share a room with the reader now.
    pub fn lists(&self, reader: UserNr, sharing: &[UserNr]) -> DeviceLists {
        let sharing: BTreeSet<UserNr> = sharing.iter().copied().collect();
        let known = self.changed.iter().copied().filter(|user| *user == reader || sharing.contains(user));
        let new = self.arrived().chain(self.in_joined.iter().copied()).filter(|user| *user != reader);
        let changed: BTreeSet<UserNr> = known.chain(new).collect();
        let left: BTreeSet<UserNr> =
            self.departed().filter(|user| *user != reader && !sharing.contains(user)).collect();
        DeviceLists {
            // Who came and went again is gone.
            changed: changed.difference(&left).copied().collect(),
            left: left.into_iter().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use Membership::{Ban, Invite, Join, Leave};

    use super::*;
    use crate::storage::Sym;

    const ME: Sym = Sym(1000);
    const A: Sym = Sym(1001);
    const B: Sym = Sym(1002);

    fn went(user: Sym, before: Option<Membership>, after: Membership) -> Causes {
        Causes { members: vec![Transition { user, before, after }], ..Causes::default() }
    }

    fn lists(changed: &[Sym], left: &[Sym]) -> DeviceLists {
        DeviceLists { changed: changed.to_vec(), left: left.to_vec() }
    }

    #[test]
    fn changes_count_where_a_room_is_shared_and_ones_own_always() {
        let causes = Causes { changed: vec![A, ME, B], ..Causes::default() };
        assert_eq!(causes.candidates(ME), [A, B]);
        assert_eq!(causes.lists(ME, &[B]), lists(&[ME, B], &[]));
    }

    #[test]
    fn who_joins_or_is_invited_is_new_and_who_changes_a_name_is_not() {
        assert_eq!(went(A, None, Join).lists(ME, &[]), lists(&[A], &[]));
        assert_eq!(went(A, Some(Leave), Invite).lists(ME, &[]), lists(&[A], &[]));
        assert_eq!(went(A, Some(Invite), Join).lists(ME, &[]), lists(&[A], &[]));
        assert_eq!(went(A, Some(Invite), Invite).lists(ME, &[]), lists(&[], &[]));
        assert_eq!(went(A, Some(Join), Join).lists(ME, &[]), lists(&[], &[]));
    }

    #[test]
    fn who_leaves_is_left_unless_another_room_is_shared() {
        let causes = went(A, Some(Join), Ban);
        assert_eq!(causes.candidates(ME), [A]);
        assert_eq!(causes.lists(ME, &[]), lists(&[], &[A]));
        assert_eq!(causes.lists(ME, &[A]), lists(&[], &[]));
    }

    #[test]
    fn joining_and_leaving_rooms_brings_and_takes_their_members() {
        let causes = Causes { in_joined: vec![A, ME], in_left: vec![B, ME], ..Causes::default() };
        assert_eq!(causes.candidates(ME), [B]);
        assert_eq!(causes.lists(ME, &[]), lists(&[A], &[B]));
    }

    #[test]
    fn who_came_and_went_is_gone() {
        let mut causes = went(A, None, Join);
        causes.members.extend(went(A, Some(Join), Leave).members);
        assert_eq!(causes.lists(ME, &[]), lists(&[], &[A]));
    }

    #[test]
    fn nobody_is_left_whom_the_reader_never_met() {
        for (before, after) in [(None, Ban), (None, Leave), (Some(Leave), Ban), (Some(Membership::Knock), Leave)] {
            assert_eq!(went(A, before, after).lists(ME, &[]), lists(&[], &[]), "{before:?} {after:?}");
        }
        assert_eq!(went(A, Some(Invite), Leave).lists(ME, &[]), lists(&[], &[A]), "who is invited was told of");
    }
}
