//! Authorization: may this event be in this room, given this state?
//!
//! - [`selection`]: which state events an event must cite as its `auth_events`
//! - [`check_auth_events`]: what needs the cited events, but no state
//! - [`check`]: everything that needs the state
//! - [`Power`]: who may do what, for the server's own decisions
//!
//! Rule numbers in comments are those of room version 11; version 12 puts its rule 2 before the others'.
//! Source: the "Authorisation rules" of each room version.
//!
//! **Invariant:** pure functions over given state; nothing here fetches an event or checks an event's own signatures.

mod auth_events;
mod check;
mod create;
mod member;
mod power;
mod power_levels;
mod rejection;
mod selection;
#[cfg(test)]
mod test_room;
mod third_party;

pub use auth_events::{AuthEvent, check_auth_events};
pub use check::check;
pub use power::{Action, Power, PowerLevel};
pub use rejection::Rejection;
pub use selection::selection;

use std::borrow::Borrow;

use crate::event::Pdu;

/// The state of a room, as far as a check asks for it.
pub trait StateView {
    /// The state event of the given type and state key.
    fn event(&self, kind: &str, state_key: &str) -> Option<&Pdu>;
}

/// A few state events are a view of the state that they make: a check asks for a handful.
impl<P: Borrow<Pdu>> StateView for [P] {
    fn event(&self, kind: &str, state_key: &str) -> Option<&Pdu> {
        self.iter().map(Borrow::borrow).find(|event: &&Pdu| event.is_state(kind, state_key))
    }
}

impl<P: Borrow<Pdu>> StateView for Vec<P> {
    fn event(&self, kind: &str, state_key: &str) -> Option<&Pdu> {
        self.as_slice().event(kind, state_key)
    }
}

impl<T: StateView + ?Sized> StateView for &T {
    fn event(&self, kind: &str, state_key: &str) -> Option<&Pdu> {
        (**self).event(kind, state_key)
    }
}
