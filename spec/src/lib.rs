//! The Matrix protocol without its network: everything that is decided by data alone.
//!
//! - [`canonical_json`]: the encoding that is hashed and signed
//! - [`room_version`]: what differs between room versions, in one table
//! - [`event`]: a draft, an untrusted event and an event of ours are different types
//! - [`redaction`], [`hash`], [`signature`]: how an event gets its id and proves its sender
//! - [`auth`]: may this event be in this room, given this state? (feature `server`)
//! - [`state_res`]: one state out of several (feature `server`)
//! - [`push`]: whom does an event notify?
//! - [`glob`]: patterns with wildcards
//! - [`ident`]: the parts of identifiers
//!
//! **Invariant:** no I/O, no clock, no randomness; nothing here knows a database, a socket or a task.

#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod base64;
pub mod canonical_json;
pub mod event;
pub mod glob;
pub mod hash;
pub mod ident;
pub mod push;
pub mod redaction;
pub mod room_version;
pub mod signature;

#[cfg(feature = "server")]
pub mod auth;

#[cfg(feature = "server")]
pub mod state_res;

#[doc(hidden)]
#[cfg(feature = "server")]
pub mod fuzz;
