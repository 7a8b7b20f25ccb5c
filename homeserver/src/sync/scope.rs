//! Which rooms a sync is about, and how the reader came to be in them.

use std::{collections::HashMap, sync::Arc};

use super::Sync;
use crate::{
    rooms::Memberships,
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
    /// Joined now, and was not for all of the time.
    Joined,
    Invited,
    Knocked,
    /// Left or banned. `from_within`: was joined at the beginning; `saw`: was joined at some moment.
    Left {
        from_within: bool,
        saw: bool,
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
        let events = self.0.rooms.events(&numbers).await?;
        let mut runs: HashMap<RoomNr, Vec<Membership>> = HashMap::new();
        let mut first: HashMap<RoomNr, EventNr> = HashMap::new();
        for event in &events {
            let run = runs.entry(event.room).or_default();
            if run.is_empty()
                && let Some(replaced) = event.replaces
            {
                first.insert(event.room, replaced);
            }
            run.extend(event.membership);
        }
        let replaced: Vec<EventNr> = first.values().copied().collect();
        let before: HashMap<RoomNr, Membership> = self
            .0
            .rooms
            .events(&replaced)
            .await?
            .iter()
            .filter_map(|event| Some((event.room, event.membership?)))
            .collect();
        let classified = changed.into_iter().map(|current| {
            let run = runs.get(&current.room).map(Vec::as_slice).unwrap_or_default();
            Moved { current, change: classify(current.membership, before.get(&current.room).copied(), run) }
        });
        Ok(classified.collect())
    }
}

/// What `run`, after `before`, means now that the membership is `current`.
fn classify(current: Membership, before: Option<Membership>, run: &[Membership]) -> Change {
    use Membership::Join;
    match current {
        Join if before == Some(Join) && run.iter().all(|m| *m == Join) => Change::Stayed,
        Join => Change::Joined,
        Membership::Invite => Change::Invited,
        Membership::Knock => Change::Knocked,
        Membership::Leave | Membership::Ban => {
            let from_within = before == Some(Join);
            Change::Left { from_within, saw: from_within || run.contains(&Join) }
        }
    }
}

#[cfg(test)]
mod tests {
    use Membership::{Ban, Invite, Join, Knock, Leave};

    use super::*;

    #[test]
    fn every_way_into_and_out_of_a_room() {
        for (before, run, expected) in [
            (None, &[Join][..], Change::Joined),
            (Some(Invite), &[Join], Change::Joined),
            (Some(Join), &[Join, Join], Change::Stayed),
            (Some(Join), &[Leave, Join], Change::Joined),
            (Some(Leave), &[Invite], Change::Invited),
            (None, &[Knock], Change::Knocked),
            (Some(Join), &[Leave], Change::Left { from_within: true, saw: true }),
            (Some(Join), &[Ban], Change::Left { from_within: true, saw: true }),
            (Some(Invite), &[Leave], Change::Left { from_within: false, saw: false }),
            (Some(Invite), &[Join, Leave], Change::Left { from_within: false, saw: true }),
            (Some(Leave), &[Ban], Change::Left { from_within: false, saw: false }),
        ] {
            assert_eq!(classify(run[run.len() - 1], before, run), expected, "{before:?} {run:?}");
        }
    }
}
