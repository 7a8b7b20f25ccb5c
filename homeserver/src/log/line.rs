//! The committer's own connection. A call whose answer is lost has an unknown outcome: the backend that was left with it is
//! ended before anything else is asked, so that the same call gets the first outcome or is the first.

use std::time::Duration;

use sqlx::{ConnectOptions, PgConnection, postgres::PgConnectOptions};
use tokio::time::timeout;

use crate::{
    clock::now_ms,
    storage::{
        self,
        backend::{self, Backend},
        commit::{self, Answer, Batch},
        generation,
    },
};

/// A connection must be made within this.
const CONNECT: Duration = Duration::from_secs(5);
/// A commit that runs longer is cancelled by the database, and made of less.
const STATEMENT: Duration = Duration::from_secs(6);
/// A call without an answer for so long counts as a lost connection.
const CALL: Duration = Duration::from_secs(10);

/// Why a call has no answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// The database refused it: nothing is stored.
    Refused(sqlx::Error),
    /// It took too long and was cancelled: nothing is stored.
    Slow,
    /// It was sent. Whether it is stored is not known.
    Lost(storage::Error),
    /// It is stored, and the answer says what no code of ours writes.
    Unreadable(String),
}

pub(super) struct Line {
    connect: PgConnectOptions,
    open: Option<(PgConnection, Backend)>,
    /// Left in the middle of a call.
    abandoned: Option<Backend>,
    /// The line of the database's history that this node knows.
    lineage: Option<String>,
    is_foreign: bool,
}

impl Line {
    pub fn new(connect: PgConnectOptions, lineage: Option<String>) -> Self {
        Self { connect, open: None, abandoned: None, lineage, is_foreign: false }
    }

    /// Whether the database has turned out to be of another history: a standby that was promoted. Nothing is written there.
    pub fn is_foreign(&self) -> bool {
        self.is_foreign
    }

    /// Returns when there is a connection on which nothing is under way, nor on the one before it.
    pub async fn connect(&mut self) -> storage::Result<()> {
        if self.open.is_none() {
            self.open = Some(in_time(CONNECT, self.open()).await?);
        }
        Ok(())
    }

    /// Commits `batch`. After [`Failure::Lost`] the same `number` with the same batch makes the outcome known.
    pub async fn call(&mut self, writer: i64, number: i64, batch: &Batch) -> Result<Answer, Failure> {
        self.connect().await.map_err(Failure::Lost)?;
        // Only an answer brings it back.
        let Some((mut conn, backend)) = self.open.take() else { return Err(Failure::Lost(no_connection())) };
        let called = in_time(CALL, commit::call(&mut conn, writer, number, now_ms(), batch)).await;
        match called {
            Ok(answer) => {
                self.open = Some((conn, backend));
                Ok(answer)
            }
            Err(storage::Error::Refused(error)) => {
                self.open = Some((conn, backend));
                Err(Failure::Refused(error))
            }
            Err(storage::Error::Unavailable(error)) if is_cancelled(&error) => {
                self.open = Some((conn, backend));
                Err(Failure::Slow)
            }
            Err(storage::Error::Inconsistent(words)) => Err(Failure::Unreadable(words)),
            Err(error @ storage::Error::Unavailable(_)) => {
                self.abandoned = Some(backend);
                Err(Failure::Lost(error))
            }
        }
    }

    async fn open(&mut self) -> storage::Result<(PgConnection, Backend)> {
        let mut conn = self.connect.connect().await?;
        let lineage = generation::lineage(&mut conn).await?;
        if let (Some(known), Some(found)) = (&self.lineage, &lineage)
            && known != found
        {
            self.is_foreign = true;
            return Err(no_connection());
        }
        let backend = backend::of(&mut conn).await?;
        backend::limit_statements(&mut conn, STATEMENT).await?;
        if let Some(abandoned) = self.abandoned {
            while !backend::end(&mut conn, abandoned).await? {
                tracing::warn!("waiting for the end of a commit whose connection was lost");
            }
            self.abandoned = None;
        }
        Ok((conn, backend))
    }
}

async fn in_time<T>(limit: Duration, asked: impl Future<Output = storage::Result<T>>) -> storage::Result<T> {
    timeout(limit, asked).await.unwrap_or_else(|_| Err(no_connection()))
}

fn no_connection() -> storage::Error {
    storage::Error::Unavailable(sqlx::Error::PoolTimedOut)
}

/// By `statement_timeout`.
fn is_cancelled(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| error.code().as_deref() == Some("57014"))
}
