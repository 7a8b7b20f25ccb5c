//! Roost, a Matrix homeserver. ARCHITECTURE.md is the map of its rooms.
//!
//! **Invariant:** a room uses the rooms below it, never one above or beside it (`tests/tests/house.rs` checks the arrows).

pub mod bell;
pub mod config;
pub mod http;
pub mod log;
pub mod postgres;
pub mod storage;
pub mod users;
