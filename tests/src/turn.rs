//! Turns: light tests share the machine, heavy ones have it alone.
//!
//! libtest runs as many tests at once as there are cores. A test that measures time or kills processes would then
//! measure its neighbours; it asks for the machine alone.
//!
//! **Invariant:** no test takes two turns, so turns cannot deadlock.

use std::sync::LazyLock;

use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

static MACHINE: LazyLock<RwLock<()>> = LazyLock::new(|| RwLock::new(()));

/// A turn beside other light tests.
pub async fn shared() -> RwLockReadGuard<'static, ()> {
    MACHINE.read().await
}

/// A turn with nothing else running.
pub async fn alone() -> RwLockWriteGuard<'static, ()> {
    MACHINE.write().await
}
