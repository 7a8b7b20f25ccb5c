//! Turns: what reads a user's data, decides and writes it again goes one after another on this node.
//!
//! Nodes do not wait for one another here: a client talks to one of them.

use std::hash::{BuildHasher, RandomState};

use tokio::sync::{Mutex, MutexGuard};

use crate::storage::{RoomNr, UserNr};

/// Turns by user and room. A few share one.
#[derive(Debug)]
pub struct Turns {
    gates: [Mutex<()>; 64],
    hasher: RandomState,
}

impl Default for Turns {
    fn default() -> Self {
        Self { gates: [const { Mutex::const_new(()) }; 64], hasher: RandomState::new() }
    }
}

impl Turns {
    /// Waits until it is the caller's turn, which lasts until the guard is dropped.
    pub async fn take(&self, user: UserNr, room: RoomNr) -> MutexGuard<'_, ()> {
        let at = self.hasher.hash_one((user, room)) % 64;
        self.gates[usize::try_from(at).unwrap_or(0)].lock().await
    }
}
