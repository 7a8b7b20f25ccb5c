//! How far this node is with what it committed, and what nodes have left that ended.
//!
//! Only the node's own connection may move its cursor: it holds the lock that says that the node lives.

use std::time::Duration;

use sqlx::{ConnectOptions, PgConnection};
use tokio_util::sync::CancellationToken;

use super::Push;
use crate::storage::{self, Pos, Result, pusher};

/// How often the cursor is moved, while there is reason to.
const EVERY: Duration = Duration::from_secs(2);
/// How often it is looked whether another node has ended, while others write.
const LOOK_EVERY: u32 = 4;
/// The same while nobody does.
const REST_EVERY: u32 = 15;

impl Push {
    /// Keeps the cursor until `shutdown`. An idle node that is the only one leaves the database alone.
    pub(super) async fn keep_cursor(self, shutdown: CancellationToken) {
        let mut conn: Option<PgConnection> = None;
        let (mut noted, mut since_look) = (Pos(0), REST_EVERY);
        loop {
            let ending = shutdown.is_cancelled();
            let done = self.0.follow.done();
            let busy = self.0.log.is_shared() && self.0.follow.take_others();
            let look = !ending && (since_look >= REST_EVERY || busy && since_look >= LOOK_EVERY);
            // Where nobody has a pusher there is nothing to be done with.
            if look || done > noted && !self.0.follow.holders.is_empty() {
                match self.note(&mut conn, done, look).await {
                    Ok(()) => noted = done,
                    Err(error) => {
                        tracing::warn!(%error, "can't note how far pushes are");
                        conn = None;
                    }
                }
            }
            // A node without others looks once, at its start.
            since_look = if look { 0 } else { since_look + u32::from(self.0.log.is_shared()) };
            if ending {
                return;
            }
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }

    async fn note(&self, conn: &mut Option<PgConnection>, done: Pos, look: bool) -> Result<()> {
        let writer = self.0.log.writer();
        let conn = match conn {
            Some(conn) => {
                pusher::advance(conn, writer, done).await?;
                conn
            }
            None => {
                let mut fresh = self.0.connect.connect().await.map_err(storage::Error::from)?;
                pusher::live(&mut fresh, writer, done).await?;
                conn.insert(fresh)
            }
        };
        if look {
            for (orphan, pos) in pusher::orphans(conn, writer).await? {
                tracing::info!(orphan, "pushing what a node has left that ended");
                self.decide_left(orphan, pos).await?;
                for heir in pusher::inherit(conn, orphan, writer).await? {
                    self.adopt(heir).await?;
                }
            }
        }
        Ok(())
    }

    /// Sees to a user's pushers that are behind.
    async fn adopt(&self, user: storage::UserNr) -> Result<()> {
        self.0.follow.holders.touch(user);
        for pusher in pusher::of_users(&self.0.pool, &[user]).await?.iter().filter(|p| p.behind.is_some()) {
            self.pursue_later(pusher);
        }
        Ok(())
    }
}
