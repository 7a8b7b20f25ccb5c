//! Which rooms a sync is about, and how the reader came to be in them.

use std::{collections::HashMap, sync::Arc};

use super::Sync;
use crate::{
    rooms::{Memberships, StoredEvent},
    storage::{self, EventNr, Membership, Pos, Result, RoomNr, UserNr, member::OfUser},
};

/// The reader's memberships, exactly as of `until`.
pub(super) struct Standing {
    pub until: Pos,
    pub memberships: Arc<Memberships>,
}

/// What the reader's own membership events in the time in question did to one room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// Joined all the time; a new name or picture at most.
    Stayed,
    /// Joined now, and was not for all of the time. `held`: what the client may know of the room from an earlier stay is of
    /// then.
    Joined {
        held: Option<Pos>,
    },
    Invited,
    Knocked,
    /// Left or banned. `from_within`: was joined at the beginning; `held`: as above; `leaving`: where their last stay ended,
    /// if they were joined at some moment.
    Left {
        from_within: bool,
        held: Option<Pos>,
        leaving: Option<Pos>,
    },
}

/// One room with what became of the reader in it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moved {
    pub current: OfUser,
    pub change: Change,
}

impl Sync {
    /// The reader's memberships as of a position that this node has seen.
    ///
    /// # Errors
    /// The database's own.
    pub(super) async fn standing(&self, user: UserNr) -> Result<Standing> {
        loop {
            // The caches are told before the watermark rises: what is read after it holds all up to it, or more.
            let until = self.0.log.watermark();
            let memberships = self.0.rooms.memberships(user).await?;
            match memberships.all.iter().map(|m| m.pos).max() {
                Some(newest) if newest > until => self.0.log.reach(newest).await?,
                _ => return Ok(Standing { until, memberships }),
            }
        }
    }

    /// The rooms in which the reader's membership event changed after `since`, with what became of them.
    ///
    /// # Errors
    /// The database's own.
    pub(super) async fn moved(&self, user: UserNr, standing: &Standing, since: Pos) -> Result<Vec<Moved>> {
        let changed: Vec<OfUser> = standing.memberships.all.iter().filter(|m| m.pos > since).copied().collect();
        if changed.is_empty() {
            return Ok(Vec::new());
        }
        let places = storage::event::memberships(&self.0.pool, user, since, standing.until).await?;
        let numbers: Vec<EventNr> = places.iter().map(|place| place.nr).collect();
        let mut runs: HashMap<RoomNr, Vec<Arc<StoredEvent>>> = HashMap::new();
        for event in self.0.rooms.events(&numbers).await? {
            runs.entry(event.room).or_default().push(event);
        }
        let replaced: Vec<EventNr> =
            runs.values().filter_map(|run| run.first()).filter_map(|event| event.replaces).collect();
        let before = self.0.rooms.events(&replaced).await?;
        let before: HashMap<RoomNr, Arc<StoredEvent>> = before.into_iter().map(|event| (event.room, event)).collect();
        let mut moved: Vec<Moved> = Vec::with_capacity(changed.len());
        for current in changed {
            let run = runs.get(&current.room).map(Vec::as_slice).unwrap_or_default();
            let run: Vec<(Pos, Option<Membership>)> =
                run.iter().map(|event| (event.pos.unwrap_or_default(), event.membership)).collect();
            let before = before.get(&current.room).and_then(|event| event.membership);
            moved.push(Moved { current, change: classify(current.membership, since, before, &run) });
        }
        self.find_earlier_stays(&mut moved, &before).await?;
        Ok(moved)
    }

    /// Finds out since when those know their rooms who came back into them. `before`: their last memberships before that.
    async fn find_earlier_stays(&self, moved: &mut [Moved], before: &HashMap<RoomNr, Arc<StoredEvent>>) -> Result<()> {
        let came = moved.iter_mut().filter(|moved| {
            matches!(moved.change, Change::Joined { held: None } | Change::Left { held: None, leaving: Some(_), .. })
        });
        let (back, newest): (Vec<&mut Moved>, Vec<EventNr>) =
            came.filter_map(|moved| Some((before.get(&moved.current.room)?.nr, moved))).map(|(nr, m)| (m, nr)).unzip();
        for (moved, trail) in back.into_iter().zip(self.0.rooms.trails(&newest).await?) {
            if let Change::Joined { held } | Change::Left { held, .. } = &mut moved.change {
                *held = trail.leaving().and_then(|event| event.pos);
            }
        }
        Ok(())
    }

    /// What a first sync tells of: everything.
    ///
    /// # Errors
    /// The database's own.
    pub(super) async fn since_the_beginning(&self, standing: &Standing, with_left: bool) -> Result<Vec<Moved>> {
        let mut moved = Vec::with_capacity(standing.memberships.all.len());
        let mut outside: Vec<OfUser> = Vec::new();
        for own in standing.memberships.all.iter().filter(|own| !own.forgotten) {
            let change = match own.membership {
                Membership::Join => Change::Joined { held: None },
                Membership::Invite => Change::Invited,
                Membership::Knock => Change::Knocked,
                Membership::Leave | Membership::Ban => {
                    outside.extend(with_left.then_some(own));
                    continue;
                }
            };
            moved.push(Moved { current: *own, change });
        }
        let trails = self.0.rooms.trails(&outside.iter().map(|own| own.nr).collect::<Vec<_>>()).await?;
        moved.extend(outside.into_iter().zip(&trails).map(|(current, trail)| {
            let leaving = trail.leaving().and_then(|event| event.pos);
            Moved { current, change: Change::Left { from_within: false, held: None, leaving } }
        }));
        Ok(moved)
    }
}

/// What `run`, after `before`, means now that the membership is `current`.
fn classify(current: Membership, since: Pos, before: Option<Membership>, run: &[(Pos, Option<Membership>)]) -> Change {
    let was_inside = before == Some(Membership::Join);
    let is_join = |membership: &Option<Membership>| *membership == Some(Membership::Join);
    match current {
        Membership::Join if was_inside && run.iter().all(|(_, membership)| is_join(membership)) => Change::Stayed,
        Membership::Join => Change::Joined { held: was_inside.then_some(since) },
        Membership::Invite => Change::Invited,
        Membership::Knock => Change::Knocked,
        Membership::Leave | Membership::Ban => {
            let earlier = [before].into_iter().chain(run.iter().map(|(_, membership)| *membership));
            let goings = run.iter().zip(earlier).filter(|((_, now), earlier)| is_join(earlier) && !is_join(now));
            let leaving = goings.last().map(|((pos, _), _)| *pos);
            Change::Left { from_within: was_inside, held: was_inside.then_some(since), leaving }
        }
    }
}

#[cfg(test)]
mod tests {
    use Membership::{Ban, Invite, Join, Knock, Leave};

    use super::*;

    #[test]
    fn every_way_into_and_out_of_a_room() {
        let left = |from_within: bool, leaving: Option<i64>| Change::Left {
            from_within,
            held: from_within.then_some(Pos(10)),
            leaving: leaving.map(Pos),
        };
        for (before, run, expected) in [
            (None, &[Join][..], Change::Joined { held: None }),
            (Some(Invite), &[Join], Change::Joined { held: None }),
            (Some(Join), &[Join, Join], Change::Stayed),
            (Some(Join), &[Leave, Join], Change::Joined { held: Some(Pos(10)) }),
            (Some(Leave), &[Invite], Change::Invited),
            (None, &[Knock], Change::Knocked),
            (Some(Join), &[Leave], left(true, Some(11))),
            (Some(Join), &[Ban], left(true, Some(11))),
            (Some(Join), &[Leave, Invite, Leave, Ban], left(true, Some(11))),
            (Some(Join), &[Leave, Join, Leave, Ban], left(true, Some(13))),
            (Some(Invite), &[Leave], left(false, None)),
            (Some(Invite), &[Join, Leave], left(false, Some(12))),
            (Some(Leave), &[Ban], left(false, None)),
        ] {
            let places: Vec<_> = (11..).map(Pos).zip(run.iter().map(|membership| Some(*membership))).collect();
            assert_eq!(classify(run[run.len() - 1], Pos(10), before, &places), expected, "{before:?} {run:?}");
        }
    }
}
