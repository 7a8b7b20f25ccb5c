//! Pushers: which events go to which push gateways, and that they arrive.
//!
//! - `pushers`: what clients set and read
//! - `holders`: who has any, in memory: an event that concerns nobody with a pusher costs nothing
//! - `follow`: hears what this node committed; `worker` decides what of it goes where
//! - `lane`: a pusher's way to its gateway, one request at a time; `retry` is for those whose gateway takes nothing
//! - `badges`: the number on an app's icon, where it changes without an event
//! - `notification`: what a gateway is sent; `gateway`: the request, and which addresses it may go to; neither knows the others
//! - `cursor`: how far this node is, and what nodes that ended have left
//!
//! Each node pushes what it committed itself, so that nodes need not agree. A node that lives holds a lock in the database;
//! where its lock is free, another node reads on from its cursor. Counts and rules are `rooms`' business.
//!
//! **Invariant:** nothing here waits on the way of a message: what is committed is pushed afterwards, from a bounded queue,
//! and from the database where the queue was full.

mod badges;
mod cursor;
mod follow;
mod gateway;
mod holders;
mod lane;
mod notification;
mod pushers;
mod retry;
mod worker;

use std::sync::Arc;

use ipnet::IpNet;
use sqlx::{PgPool, postgres::PgConnectOptions};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use self::{
    follow::Follow,
    pushers::{Pusher, PusherData, PushersError, SetPusher, Stored},
};
use crate::{bell::Bell, log::Log, rooms::Rooms, storage};

/// Pushers. Cheap to clone.
#[derive(Clone)]
pub struct Push(Arc<Inner>);

/// What pushing is built from.
pub struct Options {
    pub pool: PgPool,
    pub connect: PgConnectOptions,
    pub log: Log,
    pub bell: Bell,
    pub rooms: Rooms,
    /// Built before the log, which tells it what is committed.
    pub follow: Arc<Follow>,
    /// Private networks that gateways may be in.
    pub allowed_private_networks: Vec<IpNet>,
}

struct Inner {
    pool: PgPool,
    connect: PgConnectOptions,
    log: Log,
    bell: Bell,
    rooms: Rooms,
    follow: Arc<Follow>,
    gateway: gateway::Gateway,
    lanes: lane::Lanes,
    tasks: TaskTracker,
    shutdown: CancellationToken,
}

impl Inner {
    /// A task of the node's, which ends with it: what it has not done is found in the database.
    fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let shutdown = self.shutdown.clone();
        self.tasks.spawn(async move { shutdown.run_until_cancelled(work).await });
    }
}

impl Push {
    /// Over what is below it. Its tasks end at `shutdown`.
    ///
    /// # Errors
    /// The database's own, or that no HTTP client can be built.
    pub async fn start(options: Options, shutdown: CancellationToken, tasks: &TaskTracker) -> storage::Result<Self> {
        let Options { pool, connect, log, bell, rooms, follow, allowed_private_networks } = options;
        let gateway = gateway::Gateway::new(allowed_private_networks)
            .map_err(|error| storage::Error::Inconsistent(format!("no HTTP client: {error}")))?;
        follow.holders.fill(storage::pusher::holders(&pool).await?);
        let push = Self(Arc::new(Inner {
            pool,
            connect,
            log,
            bell,
            rooms,
            follow,
            gateway,
            lanes: lane::Lanes::new(),
            tasks: tasks.clone(),
            shutdown: shutdown.clone(),
        }));
        tasks.spawn(push.clone().work(shutdown.clone()));
        tasks.spawn(push.clone().hear_badges(shutdown.clone()));
        tasks.spawn(push.clone().keep_badges(shutdown.clone()));
        tasks.spawn(push.clone().keep_cursor(shutdown));
        Ok(push)
    }
}
