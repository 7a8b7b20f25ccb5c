//! A node from start to end: everything is built here, in one pass, in the order of dependencies; and taken down in the
//! opposite order.
//!
//! **Invariant:** the only room that sees all others; no rule of the protocol and no SQL stands here.

mod build;
mod error;
mod files;
mod logging;
mod run;
mod signals;
mod supervisor;

pub use self::{error::StartError, run::serve};
