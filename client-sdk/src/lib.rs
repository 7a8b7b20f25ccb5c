//! The client SDK of Roost: so far the part of its encryption core that keeps no state, and the push rules.
//!
//! - [`crypto`]: attachments, secret storage, recovery keys, key files, the cipher of the key backup
//! - [`push`]: the rules by which a client judges encrypted events itself; from `roost-spec`, without its `server` feature
//!
//! The machine that holds sessions, the store, the sync loop, timeline and send queue will stand beside them.
//!
//! **Invariant:** nothing here knows the homeserver or federation; no I/O, no clock, and no randomness that the caller did not
//! pass in, except within vodozemac, which draws its own.

#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod crypto;

pub use roost_spec::push;
