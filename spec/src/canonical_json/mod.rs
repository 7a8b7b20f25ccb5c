//! Canonical JSON: the one encoding over which hashes and signatures are made.
//!
//! Objects are ordered by code point whatever crate feature is set elsewhere; numbers are integers, or (in old room
//! versions) the exact text that the network's servers agree on. Source: the specification's appendices, "Canonical JSON".
//!
//! **Invariant:** a [`Value`] that came from [`parse`] writes bytes that parse to the same value again. No serde_json here.

mod error;
mod number;
mod object;
mod parse;
mod value;
mod write;

pub use error::Error;
pub use number::{MAX_INTEGER, MIN_INTEGER, Numbers};
pub use object::Object;
pub use parse::{MAX_DEPTH, parse, parse_object, parse_object_without};
pub use value::Value;
