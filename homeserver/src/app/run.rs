//! A node's life: bind, build, serve, drain.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use tokio::time::{sleep, timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    StartError,
    build::{Node, build},
    files::raise_open_files,
    logging::{Level, start_logging},
    signals::Signals,
    supervisor,
};
use crate::{
    config::Config,
    http::{self, Served, Tls},
    storage::{Database, schema},
};

/// Between losing readiness and closing connections: a proxy that asks meanwhile learns it.
const NOTICE: Duration = Duration::from_millis(200);
/// Requests under way may take so long to end.
const REQUESTS_PATIENCE: Duration = Duration::from_millis(2500);
/// Background tasks, the last group commit among them.
const TASKS_PATIENCE: Duration = Duration::from_millis(1000);

/// Told the configuration and the registration token that stays the same over restarts.
type Greet<'a> = &'a dyn Fn(&Config, &str);

/// Runs a node until a signal ends it. `started` is called once, when requests are served.
///
/// # Errors
/// Only from the start; what goes wrong later is logged.
pub fn serve(config: Config, started: Option<Greet<'_>>) -> Result<(), StartError> {
    let level = start_logging(&config.log)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = runtime.block_on(run(config, level, started));
    // What still runs was cut off: it must not hold the exit.
    runtime.shutdown_background();
    ended
}

async fn run(config: Config, level: Level, started: Option<Greet<'_>>) -> Result<(), StartError> {
    let begun = Instant::now();
    let mut signals = Signals::listen()?;
    raise_open_files();

    // An address that is taken shows before anything is started.
    let mut listeners = Vec::new();
    for address in &config.http.listen {
        listeners.push((bind(*address).await?, None));
    }
    let tls = Tls::load(&config.http.tls)?;
    for address in &config.http.tls.listen {
        listeners.push((bind(*address).await?, tls.clone()));
    }
    let metrics = match config.metrics.listen {
        Some(address) => Some(bind(address).await?),
        None => None,
    };

    let database = Database::for_node(&config).await?;
    let node = match build(&config, &database, level).await {
        Ok(node) => node,
        Err(error) => {
            database.close().await;
            return Err(error);
        }
    };

    let (closing, connections, acceptors) = (CancellationToken::new(), TaskTracker::new(), TaskTracker::new());
    let served = Served {
        router: http::router(node.api.clone()),
        proxies: config.http.trusted_proxies.clone().into(),
        federates: config.federation.enabled,
    };
    for (listener, tls) in listeners {
        let (closing, connections) = (closing.clone(), connections.clone());
        acceptors.spawn(http::serve(listener, served.clone(), tls, closing, connections));
    }
    if let Some(tls) = tls {
        acceptors.spawn(tls.reload_when_changed(closing.clone()));
    }
    if let Some(listener) = metrics {
        let served = Served { router: http::metrics_router(node.sampled.clone()), proxies: [].into(), federates: true };
        acceptors.spawn(http::serve(listener, served, None, closing.clone(), connections.clone()));
    }
    drop(served);
    let (took, schema) = (begun.elapsed(), schema::known());
    tracing::info!(server_name = %config.server_name, listen = ?config.http.listen, tls = ?config.http.tls.listen, schema, millis = took.as_millis(), "serving");
    supervisor::notify("READY=1");
    if let Some(started) = started {
        match node.api.users.standing_registration_token().await {
            Ok(token) => started(&config, &token),
            Err(error) => tracing::warn!(%error, "can't read the registration token"),
        }
    }

    let signal = signals.next().await;
    tracing::info!(signal, "going down");
    supervisor::notify("STOPPING=1");
    drain(node, closing, connections, acceptors).await;
    database.close().await;
    tracing::info!("down");
    Ok(())
}

async fn bind(address: SocketAddr) -> Result<tokio::net::TcpListener, StartError> {
    http::bind(address).await.map_err(|source| StartError::Listen { address, source })
}

/// Long-polls first, then requests, then the last group commit.
async fn drain(node: Node, closing: CancellationToken, connections: TaskTracker, acceptors: TaskTracker) {
    node.draining.cancel();
    sleep(NOTICE).await;
    closing.cancel();
    acceptors.close();
    acceptors.wait().await;
    connections.close();
    if timeout(REQUESTS_PATIENCE, connections.wait()).await.is_err() {
        tracing::warn!(open = connections.len(), "cut connections that did not end in time");
    }
    node.shutdown.cancel();
    node.tasks.close();
    if timeout(TASKS_PATIENCE, node.tasks.wait()).await.is_err() {
        tracing::warn!(open = node.tasks.len(), "left background tasks that did not end in time");
    }
}
