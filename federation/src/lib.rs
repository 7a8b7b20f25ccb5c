//! The server-to-server protocol without the server.
//!
//! So far [`keyring`]: how a server publishes its keys; and [`discovery`]: where a server is reached. Request authentication, the
//! client and a state machine a destination will stand beside them.
//!
//! **Invariant:** no axum, no SQL; time is an argument.

#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod discovery;
pub mod keyring;
