//! State resolution against its oracles: `ruma-state-res` for v2 and v2.1, Synapse's own v1 code for v1.

#[path = "../common/mod.rs"]
mod common;
mod compare;
mod generator;
mod missing;
mod properties;
mod room;
mod ruma;
mod synapse;
mod v1;
mod v2;
