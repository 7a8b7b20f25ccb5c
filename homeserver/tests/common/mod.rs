//! A database with the schema, for tests that build rooms of the homeserver over it.

use std::sync::Arc;

use roost::{
    bell::Bell,
    log::{Apply, Log, Options},
    storage,
};
use roost_tests::postgres::Postgres;
use sqlx::{PgPool, postgres::PgConnectOptions};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub struct Bench {
    _postgres: Postgres,
    pub connect: PgConnectOptions,
}

impl Bench {
    pub async fn new() -> Self {
        let postgres = Postgres::start().await;
        let bench = Self { connect: postgres.url().parse().expect("url"), _postgres: postgres };
        let pool = bench.pool();
        storage::migrate(&pool).await.expect("migrations");
        sqlx::query("insert into server (name, created_ts) values ('localhost', 0)")
            .execute(&pool)
            .await
            .expect("server");
        bench
    }

    pub fn pool(&self) -> PgPool {
        storage::pool(self.connect.clone(), 4)
    }

    /// A node's log, with a pool of its own: each keeps a connection to listen on.
    pub async fn log(&self, bell: Bell, caches: Vec<Arc<dyn Apply>>) -> (Log, PgPool) {
        let pool = self.pool();
        let options = Options {
            pool: pool.clone(),
            connect: self.connect.clone(),
            bell,
            caches,
            shutdown: CancellationToken::new(),
            tasks: TaskTracker::new(),
            seen: None,
        };
        (Log::start(options).await.expect("log"), pool)
    }
}
