//! Bad input to every endpoint: always the protocol's error object and a sentence, never a 500, never silence.
//!
//! The routes come from `roost routes`; [`table`] says what each takes, [`kind`] makes the cases of it. A route that is
//! not in the table fails.
//!
//! **Invariant:** no case knows how the server is made: each is a request that any client could send.

mod bodies;
mod database;
mod disk;
mod findings;
mod framing;
mod kind;
mod paths;
mod recognized;
mod scene;
mod table;
mod tokens;
