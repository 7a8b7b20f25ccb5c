//! State resolution: one state out of several (feature `server`).
//!
//! [`resolve`] is all a caller needs: it takes the states after each forward extremity and a [`Source`] of events, and
//! picks v1, v2 or v2.1 by the room's rules. Inside, keys and events are numbers:
//!
//! - `intern`, `conflicts`: the states, split into what all agree on and what not
//! - `graph`: the events that matter, loaded on first touch, with their auth edges
//! - `conflicted_set`, `power_order`, `mainline`, `iterative`: the steps of v2, joined in `v2`
//! - `v1`: the algorithm of room version 1
//! - [`chains`]: auth chains by walking, for callers that keep no index of them
//!
//! Work grows with the conflict, not with the room: of the unconflicted state only what authorizes a conflicted event
//! is ever looked up.
//!
//! **Invariant:** the result depends on the states and the events alone, not on the order in which either is given.

pub mod chains;
mod conflicted_set;
mod conflicts;
mod graph;
mod intern;
mod iterative;
mod mainline;
mod power_order;
mod v1;
mod v2;

use crate::{
    event::Pdu,
    room_version::{RoomRules, StateResolution},
};
use conflicts::Split;

/// Where a resolution finds events.
///
/// A server loads what it expects to be needed, calls [`resolve`], and on [`ResolveError::Missing`] loads the rest and
/// calls again: each round names everything that was missed on its level.
pub trait Source {
    /// The event of this id.
    fn event(&self, event_id: &str) -> Option<&Pdu>;

    /// Whether the event was rejected when it was received. Rejected events never authorize others.
    fn is_rejected(&self, event_id: &str) -> bool;

    /// Whether the event is in the full auth chain of *every* state that is being resolved; a state's own events count as
    /// part of its chain. Asked only for events in the auth chain of at least one of them, and not by v1. See
    /// [`chains::AuthChains`].
    fn in_every_auth_chain(&self, event_id: &str) -> bool;
}

/// One entry of a room state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StateEntry<'a> {
    /// The event's type.
    pub kind: &'a str,
    /// The event's state key.
    pub state_key: &'a str,
    /// The event's id.
    pub event_id: &'a str,
}

/// Why there is no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// The source does not have these events; sorted.
    #[error("state resolution lacks {} events, the first is {}", .0.len(), .0.first().map_or("", |id| id))]
    Missing(Vec<String>),
    /// A state names an event that is no state event.
    #[error("{0} stands in a state but has no state key")]
    NotState(String),
    /// The auth events of this event lead back to itself.
    #[error("the auth events of {0} form a circle")]
    Circle(String),
}

/// A resolved state.
#[derive(Clone, Debug)]
pub struct Resolved<'a> {
    split: Split<'a>,
    decided: Vec<StateEntry<'a>>,
}

impl<'a> Resolved<'a> {
    /// Every entry of the state, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = StateEntry<'a>> {
        self.split.agreed().chain(self.decided.iter().copied())
    }

    /// The entries that the resolution decided; in all others the states agree. For callers that store differences.
    pub fn decided(&self) -> &[StateEntry<'a>] {
        &self.decided
    }
}

/// A deliberate mistake, so that tests can show that they would notice it.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// v2: among equals the greater event id goes first.
    TieBreak,
    /// v2: power events are ordered by time alone.
    PowerOrder,
    /// v2: the other events are ordered by time alone.
    Mainline,
    /// v2: the auth difference is left out.
    AuthDifference,
    /// v1: the depth is left out.
    Depth,
}

/// Resolves the states after a room's forward extremities into one.
///
/// Each state names a key at most once; entries may come in any order (the same order in all states is fastest).
/// `rules` are those of the room's version, which all events share. Source: room versions 1, 2 and 12, "State
/// resolution".
///
/// # Errors
/// [`ResolveError`]; the same for every order of the input.
pub fn resolve<'a, States, Events>(
    rules: &'static RoomRules,
    states: &'a [States],
    source: &'a Events,
) -> Result<Resolved<'a>, ResolveError>
where
    States: AsRef<[StateEntry<'a>]>,
    Events: Source,
{
    resolve_with(rules, states, source, None)
}

/// [`resolve`], with a planted mistake.
///
/// # Errors
/// As [`resolve`].
#[doc(hidden)]
pub fn resolve_with<'a, States, Events>(
    rules: &'static RoomRules,
    states: &'a [States],
    source: &'a Events,
    fault: Option<Fault>,
) -> Result<Resolved<'a>, ResolveError>
where
    States: AsRef<[StateEntry<'a>]>,
    Events: Source,
{
    let split = Split::new(states, rules.state_resolution != StateResolution::V1);
    match rules.state_resolution {
        StateResolution::V1 => v1::resolve(rules, split, source, fault),
        StateResolution::V2 | StateResolution::V2_1 => v2::resolve(rules, split, source, fault),
    }
}
