//! Every end-to-end test, in one program, a module a part.
//!
//! **Invariant:** a test that measures, kills or loads asks for the machine alone (`turn::alone`).

mod accounts;
mod bad_input;
mod bounds;
mod browser;
mod command_line;
mod dearest;
mod deploy;
mod directory;
mod door;
mod e2ee;
mod encrypted_database;
mod failover;
mod front;
mod growth;
mod hmac;
mod kill;
mod media;
mod nats;
mod nodes;
mod operations;
mod operator;
mod outages;
mod presence;
mod previews;
mod profiles;
mod push;
mod reading;
mod real_client;
mod real_clients;
mod relations;
mod revocation;
mod rooms;
mod search;
mod seen_by_peers;
mod sight;
mod sliding;
mod spaces;
mod storage;
mod sync;
mod together;
mod upgrades;
mod waiting;
mod welcome;
