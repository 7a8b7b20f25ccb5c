//! Sliding sync: windows over the user's rooms, in both dialects that clients speak.
//!
//! A connection is a device and a name that the client chose. What the client knows of each room is kept by the connection
//! (`connection`), under the number that the client's `pos` names together with the place in the log.
//!
//! - `request`: what clients ask, the same for both dialects; `required_state`: which state
//! - `lists`: the user's rooms, filtered and in order; `meta`, `spaces`, `tags`: what filters ask of them
//! - `window`: which rooms are due, and what the client knows of them afterwards; `rooms`: their parts,
//!   made of `names` and `state`
//! - `extensions`: what `/sync` has beside rooms; `answer`: the JSON
//!
//! Source: MSC4186.
//!
//! **Invariant:** a `pos` that was given can be asked again until the next one is used, with another body too.

mod answer;
mod call;
mod connection;
mod extensions;
mod lists;
mod meta;
mod names;
mod poll;
mod request;
mod required_state;
mod rooms;
mod spaces;
mod state;
mod tags;
mod window;

pub(super) use connection::Connections;
pub(super) use lists::SentAway;
pub use meta::Metas;

pub use poll::SlidingError;
pub use request::{Dialect, Extension, Extensions, Filters, List, RoomConfig, SlidingRequest, ToDevice};
pub use required_state::{Key, Pattern, RequiredState};
pub use spaces::Spaces;
pub(super) use tags::RoomLabels;
