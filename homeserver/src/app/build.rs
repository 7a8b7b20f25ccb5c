//! The one pass in which a node is built.

use sqlx::PgPool;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::StartError;
use crate::{
    bell::Bell,
    config::Config,
    http::{Api, Health, Sampled},
    log::{Log, Options},
    storage::Database,
};

/// What a node is made of, as far as its end needs to know.
pub(super) struct Node {
    pub api: Api,
    pub sampled: Sampled,
    /// Background tasks; they end at [`Node::shutdown`].
    pub tasks: TaskTracker,
    /// Cancelled first: readiness goes and long-polls return.
    pub draining: CancellationToken,
    /// Cancelled when no request is left: the last group commit is flushed.
    pub shutdown: CancellationToken,
}

/// Builds all rooms, from the lowest rank up.
pub(super) async fn build(config: &Config, database: &Database) -> Result<Node, StartError> {
    let (tasks, draining, shutdown) = (TaskTracker::new(), CancellationToken::new(), CancellationToken::new());
    let pool: PgPool = database.pool.clone();

    let bell = match &config.nats.url {
        Some(url) => {
            let bell = Bell::nats(url.expose(), config.server_name.as_str()).await;
            bell.map_err(|error| StartError::Bell(Box::new(error)))?
        }
        None => Bell::alone(),
    };
    let log = Log::start(Options {
        pool: pool.clone(),
        connect: database.connect.clone(),
        bell: bell.clone(),
        caches: vec![],
        shutdown: shutdown.clone(),
        tasks: tasks.clone(),
    })
    .await?;

    let health = Health { log: log.clone(), bell: bell.clone(), draining: draining.clone() };
    let sampled = Sampled { pool, log: log.clone(), bell };
    Ok(Node { api: Api { log, health }, sampled, tasks, draining, shutdown })
}
