//! `/metrics`, on a listener of its own: figures are for operators.

use std::time::Duration;

use axum::{Router, extract::State, http::header::CONTENT_TYPE, response::IntoResponse, routing::get};
use sqlx::PgPool;
use tokio::time::timeout;

use crate::{
    bell::Bell,
    log::Log,
    metrics,
    storage::{self, disk, lag},
};

/// The database must tell within this.
const PATIENCE: Duration = Duration::from_secs(2);

/// What is looked at when somebody asks, instead of being counted all the time.
#[derive(Clone)]
pub struct Sampled {
    pub pool: PgPool,
    pub log: Log,
    pub bell: Bell,
}

/// The service of the metrics listener.
pub fn metrics_router(sampled: Sampled) -> Router {
    Router::new().route("/metrics", get(scrape)).with_state(sampled)
}

async fn scrape(State(sampled): State<Sampled>) -> impl IntoResponse {
    let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    let (waiters, queued) = sampled.log.load();
    metrics::WAITERS.set(count(waiters));
    metrics::COMMIT_QUEUE.set(count(queued));
    metrics::WATERMARK.set(sampled.log.watermark().0);
    metrics::BELL_UP.set(i64::from(sampled.bell.is_up()));
    metrics::DATABASE_FULL.set(i64::from(disk::is_full()));
    metrics::POOL_SIZE.set(i64::from(sampled.pool.size()));
    metrics::POOL_IDLE.set(count(sampled.pool.num_idle()));
    // A database that is away does not keep the other figures.
    match timeout(PATIENCE, behind(&sampled.pool)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "can't see what is behind"),
        Err(_) => tracing::debug!("the database did not say what is behind"),
    }
    ([(CONTENT_TYPE, "text/plain; version=0.0.4")], metrics::render())
}

async fn behind(pool: &PgPool) -> storage::Result<()> {
    let followers = lag::followers(pool).await?;
    metrics::WORDS_BEHIND.set(followers.words);
    metrics::PUSHES_BEHIND.set(followers.pushes);
    metrics::SNAPSHOT_SECONDS.set(lag::oldest_snapshot(pool).await?.map_or(0, |snapshot| snapshot.seconds));
    Ok(())
}
