//! A node's life: bind, build, serve, drain; and again where the database's history has turned.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    net::TcpListener,
    sync::watch,
    time::{sleep, timeout},
};
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
    backoff::Backoff,
    config::Config,
    http::{self, Served, Tls},
    storage::{Database, Pulse, generation::Standing, schema},
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
    let sockets = Sockets::bind(&config).await?;
    // Whoever watches over the node sees that it lives while it waits for its database.
    let early = Early::serve(&sockets, &config);
    let mut database = Database::for_node(&config).await?;
    let mut node = match build(&config, &database, level.clone(), None).await {
        Ok(node) => node,
        Err(error) => {
            database.close().await;
            return Err(error);
        }
    };
    early.end(&node);
    let mut serving = sockets.serve(&config, &database, &node);
    let (took, schema) = (begun.elapsed(), schema::known());
    tracing::info!(server_name = %config.server_name, listen = ?config.http.listen, tls = ?config.http.tls.listen, schema, millis = took.as_millis(), "serving");
    supervisor::notify("READY=1");
    if let Some(started) = started {
        match node.api.users.standing_registration_token().await {
            Ok(token) => started(&config, &token),
            Err(error) => tracing::warn!(%error, "can't read the registration token"),
        }
    }

    let signal = loop {
        tokio::select! {
            signal = signals.next() => break signal,
            () = node.api.log.turned() => {}
        }
        // Everything in memory is of what may be gone: all of it is built anew, on the same sockets.
        let seen = node.api.log.standing();
        drain(node, serving).await;
        let early = Early::serve(&sockets, &config);
        node = tokio::select! {
            signal = signals.next() => {
                tracing::info!(signal, "going down");
                database.close().await;
                return Ok(());
            }
            node = build_anew(&config, &mut database, &level, seen) => node,
        };
        early.end(&node);
        serving = sockets.serve(&config, &database, &node);
        tracing::info!(generation = node.api.log.generation(), "serving again");
    };
    tracing::info!(signal, "going down");
    supervisor::notify("STOPPING=1");
    drain(node, serving).await;
    database.close().await;
    tracing::info!("down");
    Ok(())
}

/// Builds a node that takes the place of one which had `seen` so much, as soon as the database lets it.
async fn build_anew(config: &Config, database: &mut Database, level: &Level, seen: Standing) -> Node {
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
    loop {
        database.renew().await;
        match build(config, database, level.clone(), Some(seen)).await {
            Ok(node) => return node,
            Err(error) => tracing::error!(%error, "can't begin anew yet"),
        }
        backoff.wait().await;
    }
}

/// The addresses that this process listens on, for as long as it lives.
struct Sockets {
    listeners: Vec<(Arc<TcpListener>, Option<Tls>)>,
    tls: Option<Tls>,
    metrics: Option<Arc<TcpListener>>,
}

/// What answers on the sockets.
struct Serving {
    closing: CancellationToken,
    connections: TaskTracker,
    acceptors: TaskTracker,
}

impl Sockets {
    async fn bind(config: &Config) -> Result<Self, StartError> {
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
        Ok(Self { listeners, tls, metrics })
    }

    fn serve(&self, config: &Config, database: &Database, node: &Node) -> Serving {
        let (closing, connections, acceptors) = (CancellationToken::new(), TaskTracker::new(), TaskTracker::new());
        let served = Served {
            router: http::router(node.api.clone()),
            proxies: config.http.trusted_proxies.clone().into(),
            federates: config.federation.enabled,
            pulse: Some(Pulse::new(database.connect.clone())),
        };
        for (listener, tls) in &self.listeners {
            let (closing, connections) = (closing.clone(), connections.clone());
            acceptors.spawn(http::serve(Arc::clone(listener), served.clone(), tls.clone(), closing, connections));
        }
        if let Some(tls) = &self.tls {
            acceptors.spawn(tls.clone().reload_when_changed(closing.clone()));
        }
        if let Some(listener) = &self.metrics {
            let router = http::metrics_router(node.sampled.clone());
            let served = Served { router, proxies: [].into(), federates: true, pulse: None };
            acceptors.spawn(http::serve(Arc::clone(listener), served, None, closing.clone(), connections.clone()));
        }
        Serving { closing, connections, acceptors }
    }
}

/// What is served while no node is built.
struct Early {
    ends: CancellationToken,
    built: watch::Sender<Option<http::Router>>,
}

impl Early {
    fn serve(sockets: &Sockets, config: &Config) -> Self {
        let (ends, connections) = (CancellationToken::new(), TaskTracker::new());
        let (built, waiting) = watch::channel(None);
        let served = Served {
            router: http::starting_router(waiting),
            proxies: config.http.trusted_proxies.clone().into(),
            federates: true,
            pulse: None,
        };
        for (listener, tls) in &sockets.listeners {
            let (listener, ends) = (Arc::clone(listener), ends.clone());
            connections.spawn(http::serve(listener, served.clone(), tls.clone(), ends, connections.clone()));
        }
        Self { ends, built }
    }

    /// Accepts no more. Its connections end with the request that they are in, which goes to the node.
    fn end(self, node: &Node) {
        self.built.send_replace(Some(http::router(node.api.clone())));
        self.ends.cancel();
    }
}

async fn bind(address: SocketAddr) -> Result<Arc<TcpListener>, StartError> {
    http::bind(address).await.map(Arc::new).map_err(|source| StartError::Listen { address, source })
}

/// Long-polls first, then requests, then the last group commit.
async fn drain(node: Node, serving: Serving) {
    let Serving { closing, connections, acceptors } = serving;
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
