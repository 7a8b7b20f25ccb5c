//! Which rooms a sync looks at, and which part of each.

use std::collections::BTreeSet;

use super::{
    poll::Reader,
    scope::{Change, Moved, Standing},
    timeline::Span,
};
use crate::storage::{Membership, Pos, RoomNr, member::OfUser};

/// A room that may get a part in the answer.
pub(super) struct Job {
    pub own: OfUser,
    pub left: bool,
    /// The reader came (back) after the last sync: the client begins the room anew.
    pub newly: bool,
    pub state: Wanted,
    pub span: Span,
    /// The reader was joined for all of the span: they see everything.
    pub sure: bool,
}

/// Which state a job wants.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// All of it.
    Whole,
    /// What changed since the last sync.
    Changes,
    /// None: the reader never was in the room in the time in question.
    Nothing,
}

/// What a first sync tells of: everything.
pub(super) fn from_the_beginning(standing: &Standing, reader: &Reader) -> Vec<Moved> {
    let moved = |own: &OfUser| {
        let change = match own.membership {
            Membership::Join => Change::Joined,
            Membership::Invite => Change::Invited,
            Membership::Knock => Change::Knocked,
            Membership::Leave | Membership::Ban if reader.filter.include_leave => {
                Change::Left { from_within: false, saw: true }
            }
            Membership::Leave | Membership::Ban => return None,
        };
        Some(Moved { current: *own, change })
    };
    standing.memberships.all.iter().filter(|own| !own.forgotten).filter_map(moved).collect()
}

/// The rooms to look at: those in which the reader moved, and the joined ones of `touched`.
pub(super) fn jobs(
    reader: &Reader,
    standing: &Standing,
    moved: &[Moved],
    mut touched: BTreeSet<RoomNr>,
    since: Option<Pos>,
) -> Vec<Job> {
    let whole_if = |condition| if condition { Wanted::Whole } else { Wanted::Changes };
    let (since, initial) = (since.unwrap_or_default(), since.is_none());
    let (until, limit) = (standing.until, reader.filter.timeline.timeline_limit());
    let mut jobs = Vec::with_capacity(moved.len() + touched.len());
    for Moved { current: own, change } in moved {
        let span = Span { room: own.room, since, until, known: since, limit };
        match change {
            Change::Joined => {
                touched.remove(&own.room);
                let span = Span { since: Pos(0), ..span };
                jobs.push(Job { own: *own, left: false, newly: !initial, state: Wanted::Whole, span, sure: false });
            }
            Change::Stayed => drop(touched.insert(own.room)),
            // Also where it is forgotten by now: the user's other devices must learn that they are out.
            Change::Left { from_within, saw } => {
                let span = Span { until: own.pos, ..span };
                let state = if *saw { whole_if(!from_within || reader.full_state) } else { Wanted::Nothing };
                jobs.push(Job { own: *own, left: true, newly: false, state, span, sure: false });
            }
            Change::Invited | Change::Knocked => {}
        }
    }
    for room in touched {
        let Some(own) = standing.memberships.of(room).filter(|own| own.membership == Membership::Join) else {
            continue;
        };
        let span = Span { room, since, until, known: since, limit };
        let state = whole_if(reader.full_state);
        jobs.push(Job { own: *own, left: false, newly: false, state, span, sure: true });
    }
    jobs
}
