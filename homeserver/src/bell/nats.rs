//! The connection to NATS: who we are there, and whether it carries anything.

use std::{
    error::Error as _,
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use async_nats::{Client, ConnectErrorKind, ConnectOptions, Event, ServerAddr};
use bytes::Bytes;
use futures::StreamExt;
use percent_encoding::percent_decode_str;
use rustls::crypto::ring;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::{
    Owner, Topic,
    queue::{Queue, Waiting, queue},
};
use crate::{backoff::spread, config};

/// Why NATS can't be used.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// `nats.url` can't be parsed.
    #[error("`nats.url` is no list of addresses of NATS servers: {0}")]
    Address(io::Error),
    /// `nats.credentials` can't be read, or holds something else.
    #[error("`nats.credentials`: can't use {}: {source}", .path.display())]
    Credentials { path: PathBuf, source: io::Error },
    /// The server lets somebody else in, not us.
    #[error("refuses the credentials")]
    Unauthorized,
    /// No encrypted connection, or a certificate that is not right.
    #[error("can't be spoken to with TLS: {0}")]
    Tls(String),
    /// Nobody is there.
    #[error("does not answer: {0}")]
    Away(String),
}

/// Nothing was heard for so long, not even what this node rang: the bell is stuck.
const SILENCE: Duration = Duration::from_secs(3);
/// How many rings the client keeps for a server that does not read.
const CLIENT_RINGS: usize = 256;
/// While the node goes down, its last commit is still rung.
const LAST_RINGS: Duration = Duration::from_millis(300);
/// A connection that does not answer for twice as long is made anew.
const PING: Duration = Duration::from_secs(5);

#[derive(Clone)]
pub(super) struct Nats {
    client: Client,
    prefix: Arc<str>,
    state: Arc<State>,
    queue: Queue,
    came_up: watch::Receiver<u64>,
    owner: Owner,
}

struct State {
    connected: AtomicBool,
    epoch: Instant,
    /// When something was heard last, in milliseconds after `epoch`.
    heard_ms: AtomicU64,
    /// Whether the log says that it is away.
    warned: AtomicBool,
}

impl State {
    fn now_ms(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn heard(&self) {
        self.heard_ms.store(self.now_ms(), Ordering::Release);
    }
}

impl Nats {
    /// Connects now or later.
    pub async fn open(config: &config::Nats, server_name: &str, owner: Owner) -> Result<Self, Refusal> {
        let state = Arc::new(State {
            connected: AtomicBool::new(false),
            epoch: Instant::now(),
            heard_ms: AtomicU64::new(0),
            warned: AtomicBool::new(false),
        });
        let (sender, came_up) = watch::channel(0);
        let (seen, told, tasks) = (Arc::clone(&state), Arc::new(config.clone()), owner.tasks.clone());
        let options = options(config)
            .await?
            .retry_on_initial_connect()
            .max_reconnects(None)
            .reconnect_delay_callback(|attempt| spread(Duration::from_millis(50 * (1 << attempt.min(5)) as u64)))
            .event_callback(move |event| {
                if note(&event, &seen, &sender, &told) {
                    let config = Arc::clone(&told);
                    tasks.spawn(async move { warn(&config).await });
                }
                std::future::ready(())
            });
        let client = options.connect(servers(config)?).await.map_err(refusal)?;
        let prefix = format!("roost.{}", server_name.replace(['.', '*', '>', ' '], "_")).into();
        let (queue, waiting) = queue();
        owner.tasks.spawn(carry(client.clone(), Arc::clone(&prefix), waiting, owner.shutdown.clone()));
        Ok(Self { client, prefix, state, queue, came_up, owner })
    }

    pub fn is_up(&self) -> bool {
        let silent = self.state.now_ms().saturating_sub(self.state.heard_ms.load(Ordering::Acquire));
        self.state.connected.load(Ordering::Acquire) && u128::from(silent) < SILENCE.as_millis()
    }

    pub fn ring(&self, topic: Topic, payload: Bytes) {
        if !self.queue.put(topic, payload) {
            tracing::debug!(?topic, "NATS is slow: a ring is lost");
        }
    }

    pub async fn came_up(&mut self) {
        if self.came_up.changed().await.is_err() {
            std::future::pending().await
        }
    }

    /// What is rung about `topic`, until the node goes down.
    pub fn listen(&self, topic: Topic) -> mpsc::Receiver<Bytes> {
        let (heard, receiver) = mpsc::channel(4096);
        let (nats, shutdown) = (self.clone(), self.owner.shutdown.clone());
        self.owner.tasks.spawn(async move { shutdown.run_until_cancelled(nats.hear(topic, heard)).await });
        receiver
    }

    async fn hear(self, topic: Topic, heard: mpsc::Sender<Bytes>) {
        while !heard.is_closed() {
            match self.client.subscribe(subject(&self.prefix, topic)).await {
                Ok(mut rings) => {
                    while let Some(ring) = rings.next().await {
                        self.state.heard();
                        if heard.send(ring.payload).await.is_err() {
                            return;
                        }
                    }
                }
                Err(error) => tracing::warn!(%error, "the bell can't be heard"),
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

/// Connects once.
pub(super) async fn try_out(config: &config::Nats) -> Result<(), Refusal> {
    let (options, servers) = (options(config).await?, servers(config)?);
    options.connection_timeout(Duration::from_secs(4)).connect(servers).await.map_err(refusal)?;
    Ok(())
}

/// Carries rings to NATS, which may take its time; until the last commit's may have been rung.
async fn carry(client: Client, prefix: Arc<str>, mut waiting: Waiting, shutdown: CancellationToken) {
    let carrying = async {
        while let Some((topic, payload)) = waiting.next().await {
            if let Err(error) = client.publish(subject(&prefix, topic), payload).await {
                tracing::debug!(%error, "the bell did not ring");
            }
        }
    };
    let over = async {
        shutdown.cancelled().await;
        tokio::time::sleep(LAST_RINGS).await;
    };
    tokio::select! {
        () = carrying => {}
        () = over => drop(tokio::time::timeout(LAST_RINGS, client.flush()).await),
    }
}

/// Notes what has become of the connection. `true`: it is time to tell an operator what is wrong, which is once, though an
/// attempt is made every second.
fn note(event: &Event, state: &State, came_up: &watch::Sender<u64>, config: &config::Nats) -> bool {
    match event {
        Event::Connected => {
            state.heard();
            state.connected.store(true, Ordering::Release);
            state.warned.store(false, Ordering::Release);
            came_up.send_modify(|n| *n += 1);
            tracing::info!(servers = names(config), "connected to NATS");
        }
        Event::Disconnected | Event::Closed => state.connected.store(false, Ordering::Release),
        Event::ClientError(_) if !state.connected.load(Ordering::Acquire) => {
            return !state.warned.swap(true, Ordering::AcqRel);
        }
        // A slow consumer has lost rings: as good as a reconnect.
        Event::SlowConsumer(_) => came_up.send_modify(|n| *n += 1),
        _ => {}
    }
    false
}

/// The event itself does not say why.
async fn warn(config: &config::Nats) {
    if let Err(refusal) = try_out(config).await {
        tracing::warn!(servers = names(config), "NATS {refusal}; nodes hear of each other a little later");
    }
}

fn subject(prefix: &str, topic: Topic) -> String {
    format!("{prefix}.{}", topic.as_str())
}

fn servers(config: &config::Nats) -> Result<Vec<ServerAddr>, Refusal> {
    config.url.iter().map(|url| url.expose().parse().map_err(Refusal::Address)).collect()
}

/// Where they are, without what is secret.
fn names(config: &config::Nats) -> String {
    let servers = servers(config).unwrap_or_default();
    servers.iter().map(|server| format!("{}:{}", server.host(), server.port())).collect::<Vec<_>>().join(", ")
}

/// Who we are, and how the connection is encrypted.
async fn options(config: &config::Nats) -> Result<ConnectOptions, Refusal> {
    // An error means that one is installed already.
    drop(ring::default_provider().install_default());
    let mut options = ConnectOptions::new()
        .name("roost")
        .client_capacity(CLIENT_RINGS)
        .subscription_capacity(65_536)
        .ping_interval(PING)
        // A server's word on where others are would lead around what the configuration names.
        .ignore_discovered_servers();
    // The client itself takes no notice of what stands before the host.
    let named = servers(config)?.into_iter().find(ServerAddr::has_user_pass);
    if let Some(server) = named {
        let plain = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let user = plain(server.username().unwrap_or_default());
        options = match server.password() {
            Some(password) => options.user_and_password(user, plain(password)),
            None => options.token(user),
        };
    }
    if let Some(path) = &config.credentials {
        let file = options.credentials_file(path).await;
        options = file.map_err(|source| Refusal::Credentials { path: path.clone(), source })?;
    }
    if let Some(authority) = &config.tls.authority {
        options = options.add_root_certificates(authority.clone()).require_tls(true);
    }
    if let (Some(certificate), Some(key)) = (&config.tls.certificate, &config.tls.key) {
        options = options.add_client_certificate(certificate.clone(), key.clone()).require_tls(true);
    }
    Ok(options)
}

fn refusal(error: async_nats::ConnectError) -> Refusal {
    if let Some(words) = tls_words(&error) {
        return Refusal::Tls(words);
    }
    let words = || error.source().map_or_else(|| error.to_string(), ToString::to_string);
    match error.kind() {
        ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => Refusal::Unauthorized,
        ConnectErrorKind::Tls => Refusal::Tls(words()),
        ConnectErrorKind::ServerParse => Refusal::Address(io::Error::other(words())),
        _ => Refusal::Away(words()),
    }
}

/// What is wrong with TLS, where that is what failed: it comes as any other failure to read.
fn tls_words(error: &async_nats::ConnectError) -> Option<String> {
    let io = error.source()?.downcast_ref::<io::Error>()?;
    io.get_ref()?.downcast_ref::<rustls::Error>().map(ToString::to_string)
}
