//! Which rooms a sync looks at, and which part of each.

use std::collections::BTreeSet;

use super::{
    reader::Reader,
    scope::{Change, Moved, Standing},
    timeline::Span,
};
use crate::storage::{Membership, Pos, RoomNr, member::OfUser};

/// A room that may get a part in the answer.
pub(super) struct Job {
    pub own: OfUser,
    /// The reader is outside. The span ends with their last stay.
    pub left: bool,
    /// The reader came (back) after the last sync: the client begins the room anew.
    pub newly: bool,
    pub state: Wanted,
    pub span: Span,
    /// The reader was joined for all of the span: they see everything.
    pub sure: bool,
}

impl Job {
    /// Whether the reader was inside where the client left off.
    pub fn is_inside_since(&self) -> bool {
        self.state.has_before() || !self.newly && !self.left
    }

    /// Whether the reader's own membership changed after the end of the span: banned later, or never inside. That they must
    /// be told, and nothing else of that moment.
    pub fn is_told_more(&self) -> bool {
        self.left && (self.state == Wanted::Nothing || self.own.pos > self.span.until)
    }
}

/// Which state a job wants.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// All of it.
    Whole,
    /// What changed since the last sync.
    Changes,
    /// That, and of what did not change what the client asks for only now.
    More,
    /// None but the reader's own membership: they never were in the room in the time in question.
    Nothing,
}

impl Wanted {
    /// Whether the whole state is looked at, where nothing happened too.
    pub fn looks_at_all(self) -> bool {
        matches!(self, Self::Whole | Self::More)
    }

    /// Whether the client knows a state from before.
    pub fn has_before(self) -> bool {
        matches!(self, Self::Changes | Self::More)
    }
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
            Change::Joined { held } => {
                touched.remove(&own.room);
                let span = Span { since: Pos(0), known: held.unwrap_or_default(), ..span };
                jobs.push(Job { own: *own, left: false, newly: !initial, state: Wanted::Whole, span, sure: false });
            }
            Change::Stayed => drop(touched.insert(own.room)),
            // Also where it is forgotten by now: the user's other devices must learn that they are out.
            Change::Left { from_within, held, leaving } => {
                let (state, span) = match leaving {
                    Some(leaving) => {
                        let span = Span { until: *leaving, known: held.unwrap_or_default(), ..span };
                        (whole_if(!from_within || reader.full_state), span)
                    }
                    None => (Wanted::Nothing, span.nothing_of(own)),
                };
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
