//! What somebody sees of rooms: of moments at which they were inside, and of those at which they were not.
//!
//! `stories` tell single cases; `property` compares random histories with `oracle`, which computes from the whole history
//! what the specification lets each user see; `clients` fold what a server tells them, as clients do.

mod clients;
mod oracle;
mod property;
mod stories;
