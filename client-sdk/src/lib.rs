//! The client SDK's place in the workspace: its encryption core, store, sync loop, timeline and send queue will stand here.
//!
//! What it shares with the homeserver comes from `roost-spec`, without that crate's `server` feature: so far the push rules,
//! which a client evaluates itself where events are encrypted.
//!
//! **Invariant:** nothing here knows the homeserver or federation.

#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub use roost_spec::push;
