//! Roost: a Matrix homeserver.
//!
//! One rank may use the ranks below it, never one above nor one beside it (`tests/tests/house.rs` reads the imports):
//!
//! `cli · app → http → admin → account · inbound → sync · push · appservice · outbound · oauth · media → keys · rooms ·
//! presence → users → log → storage · bell`; `backoff`, `cache`, `clock`, `config`, `metrics`, `postgres`, `random` and
//! `reach` are leaves that any rank may use.
//!
//! **Invariant:** nothing stands here but this table of contents.

#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::unwrap_used))]

pub mod account;
pub mod app;
pub mod backoff;
pub mod backup;
pub mod bell;
pub mod cache;
pub mod cli;
pub mod clock;
pub mod config;
pub mod http;
pub mod keys;
pub mod log;
pub mod media;
pub mod metrics;
pub mod postgres;
pub mod presence;
pub mod push;
pub mod random;
pub mod reach;
pub mod rooms;
pub mod storage;
pub mod sync;
pub mod users;
