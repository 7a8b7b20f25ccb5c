//! Events, in three types that can't be mistaken for each other.
//!
//! - [`Draft`]: what we want to say; [`Draft::sign`] hashes and signs it.
//! - [`Untrusted`]: what another server says; [`Untrusted::verify`] checks signatures and hash.
//! - [`Pdu`]: an event with an id, ours or verified.
//!
//! [`content`] holds the contents that decide over authorization, read once and kept with the event.
//!
//! **Invariant:** a [`Pdu`] never changes, and has no `unsigned`: what a server adds for its clients is not part of it.

pub mod content;
mod draft;
mod format;
mod pdu;
mod reference;
mod untrusted;

pub use draft::Draft;
pub use format::{FormatError, MAX_AUTH_EVENTS, MAX_EVENT_BYTES, MAX_PREV_EVENTS};
pub use pdu::Pdu;
pub use reference::EventRef;
pub use untrusted::{Untrusted, VerifyError};
