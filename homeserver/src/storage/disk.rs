//! Whether the database's disk is full: PostgreSQL says so where a write fails, and it is looked after until there is room.

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use nix::sys::statvfs::statvfs;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

/// `disk_full`
const DISK_FULL: &str = "53100";
/// PostgreSQL stops where it can't write its log, which it does in files of 16 MiB.
const LEAST: u64 = 32 << 20;
/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_secs(2);

static FULL: AtomicBool = AtomicBool::new(false);

/// Whether it was full when it was seen last.
pub fn is_full() -> bool {
    FULL.load(Ordering::Relaxed)
}

/// A statement failed with this code.
pub(super) fn notice(code: &str) {
    if code == DISK_FULL {
        set(true);
    }
}

/// Looks after it until `shutdown`. `data`: where the database lies, if it is on this machine.
pub async fn watch(pool: PgPool, data: Option<PathBuf>, shutdown: CancellationToken) {
    while shutdown.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_some() {
        match data.as_deref().map(has_room) {
            Some(false) => set(true),
            // What PostgreSQL said holds until it can write again.
            _ if is_full() && takes(&pool).await => set(false),
            _ => {}
        }
    }
}

/// Says it once.
fn set(full: bool) {
    match (FULL.swap(full, Ordering::Relaxed), full) {
        (false, true) => tracing::error!("the database's disk is full: make room, nothing can be written until then"),
        (true, false) => tracing::info!("the database's disk has room again"),
        _ => {}
    }
}

fn has_room(data: &Path) -> bool {
    // What can't be asked is found out by writing.
    statvfs(data).map_or(true, |found| {
        #[expect(clippy::useless_conversion, reason = "the widths differ between systems")]
        let bytes = |blocks| u64::from(blocks) * u64::from(found.fragment_size());
        bytes(found.blocks_available()) >= LEAST.min(bytes(found.blocks()) / 20)
    })
}

/// Whether the database takes a few pages, which nobody keeps.
async fn takes(pool: &PgPool) -> bool {
    let sql = "create temporary table room_on_disk on commit drop as \
               select repeat(md5(n::text), 60) as words from generate_series(1, 500) n";
    sqlx::query(sql).execute(pool).await.is_ok()
}
