//! PostgreSQL: a file per family of tables, free functions over a connection.
//!
//! **Invariant:** no other room holds SQL, and no function here decides what the protocol allows.

pub mod account;
pub mod account_data;
pub mod alias;
pub mod backend;
pub mod backup;
pub mod commit;
mod database;
pub mod device;
pub mod device_key;
pub mod disk;
pub mod event;
pub mod filter;
pub mod frame;
pub mod generation;
pub mod head;
pub mod intern;
pub mod key_backup;
pub mod lag;
pub mod login_token;
pub mod media;
pub mod member;
pub mod nr;
pub mod one_time_key;
pub mod profile;
mod pulse;
pub mod pusher;
pub mod receipt;
pub mod registration_token;
pub mod relation;
pub mod remains;
pub mod report;
pub mod room;
pub mod schema;
pub mod search;
pub mod server;
pub mod slice;
pub mod sliding;
pub mod sync;
pub mod to_device;
pub mod token;
pub mod txn;
pub mod uia;
pub mod unread;
pub mod upgrade;
pub mod user_change;
pub mod user_directory;

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

pub use database::{Database, OpenError};
pub use intern::Interner;
pub use nr::{DeviceNr, EventNr, FrameNr, Membership, Pos, RoomNr, Sym, UserNr};
pub use pulse::Pulse;
use sqlx::{
    Connection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::time::timeout;

use crate::clock::now_ms;

/// Why a query gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database can't be reached at this moment; the same call may go through later.
    #[error("the database is not reachable: {0}")]
    Unavailable(sqlx::Error),
    /// The database refused the statement.
    #[error("the database refused a statement: {0}")]
    Refused(sqlx::Error),
    /// A row that must be there is missing, or holds what no code of ours writes.
    #[error("the database holds something inconsistent: {0}")]
    Inconsistent(String),
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(e) => match e.code().inspect(|code| disk::notice(code)).as_deref() {
                // Class 08 connection exception, 57 shutdown or a statement that took too long, 53 out of resources,
                // 40 rollback, 25006 a standby that is no primary yet: all pass with time.
                Some(code) if ["08", "53", "40", "57", "25006"].iter().any(|class| code.starts_with(class)) => {
                    if code.starts_with("57P") {
                        LOST.store(now_ms(), Ordering::Relaxed);
                    }
                    Self::Unavailable(error)
                }
                _ => Self::Refused(error),
            },
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::RowNotFound => {
                Self::Inconsistent(error.to_string())
            }
            _ => {
                if matches!(error, sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed) {
                    LOST.store(now_ms(), Ordering::Relaxed);
                }
                Self::Unavailable(error)
            }
        }
    }
}

/// The result of a query.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What a request asks for is given up after so long: the client has left by then, and a long query keeps what others write
/// from being cleaned up.
const STATEMENT_PATIENCE: &str = "20s";

/// After a connection was lost, others are looked at before they are used; for so long.
const WARY: Duration = Duration::from_secs(30);

/// When a connection was lost last, in milliseconds since 1970.
static LOST: AtomicI64 = AtomicI64::new(0);

/// Opens the pool. No connection of it is ever held across another acquire, a long-poll or a network call.
pub fn pool(options: PgConnectOptions, max_connections: u32) -> PgPool {
    PgPoolOptions::new()
        .max_connections(max_connections)
        .min_connections(1)
        .acquire_timeout(Duration::from_secs(5))
        .test_before_acquire(false)
        .before_acquire(|conn, _| {
            Box::pin(async move {
                let wary =
                    u128::try_from(now_ms() - LOST.load(Ordering::Relaxed)).is_ok_and(|ms| ms < WARY.as_millis());
                Ok(!wary || matches!(timeout(Duration::from_secs(1), conn.ping()).await, Ok(Ok(()))))
            })
        })
        .connect_lazy_with(options.options([("statement_timeout", STATEMENT_PATIENCE)]))
}

/// Every change of the schema that this binary knows.
fn migrations() -> sqlx::migrate::Migrator {
    sqlx::migrate!("../migrations")
}

/// Brings the schema up to what this binary knows. Migrations that a newer node ran are no error: they only expand.
///
/// # Errors
/// The database's own, or a migration whose text differs from the one that ran.
pub async fn migrate(pool: &PgPool) -> Result<(), sqlx::migrate::MigrateError> {
    let mut migrator = migrations();
    migrator.set_ignore_missing(true);
    // A large table takes its time, and whoever waits for another node that migrates.
    let mut conn = pool.acquire().await?.detach();
    sqlx::query("set statement_timeout = 0").execute(&mut conn).await?;
    migrator.run(&mut conn).await?;
    Ok(conn.close().await?)
}
