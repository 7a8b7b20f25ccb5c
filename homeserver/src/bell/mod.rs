//! The bell: tells other nodes that something was committed, and carries what must not last (typing, presence).
//!
//! One node needs none; several share a NATS server. The bell may lose a ring: PostgreSQL is the truth, and `log` finds
//! what it missed.
//!
//! **Invariant:** no other room knows NATS, and nothing here is needed for correctness.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::StreamExt;
use tokio::sync::{mpsc, watch};

/// What is rung about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topic {
    /// A committed slice.
    Slice,
    /// The newest position of a node that has nothing to say, so that a lost ring is noticed.
    Heartbeat,
    /// Typing and presence.
    Ephemeral,
    /// Devices some of whose one-time keys were claimed or uploaded.
    Keys,
    /// What push gateways were told of unread counts.
    Badges,
}

impl Topic {
    fn as_str(self) -> &'static str {
        match self {
            Self::Slice => "slice",
            Self::Heartbeat => "heartbeat",
            Self::Ephemeral => "ephemeral",
            Self::Keys => "keys",
            Self::Badges => "badges",
        }
    }
}

/// A node's end of the bell.
#[derive(Clone)]
pub struct Bell(Kind);

#[derive(Clone)]
enum Kind {
    /// The only node: whoever rings has already told itself.
    Alone,
    Nats(Nats),
}

#[derive(Clone)]
struct Nats {
    client: async_nats::Client,
    prefix: Arc<str>,
    up: Arc<AtomicBool>,
    came_up: watch::Receiver<u64>,
}

impl Bell {
    /// The bell of a single node.
    pub fn alone() -> Self {
        Self(Kind::Alone)
    }

    /// Connects to the NATS server at `url`, now or whenever it comes up. Nodes of one `server_name` hear each other.
    ///
    /// # Errors
    /// If the URL can't be parsed.
    pub async fn nats(url: &str, server_name: &str) -> Result<Self, async_nats::ConnectError> {
        let up = Arc::new(AtomicBool::new(false));
        let (sender, came_up) = watch::channel(0);
        let seen = Arc::clone(&up);
        let client = async_nats::ConnectOptions::new()
            .retry_on_initial_connect()
            .max_reconnects(None)
            .reconnect_delay_callback(|attempt| Duration::from_millis(50 * (1 << attempt.min(5)) as u64))
            .client_capacity(8192)
            .subscription_capacity(65_536)
            .event_callback(move |event| {
                let (seen, sender) = (Arc::clone(&seen), sender.clone());
                async move {
                    match event {
                        async_nats::Event::Connected => {
                            seen.store(true, Ordering::Release);
                            sender.send_modify(|n| *n += 1);
                        }
                        async_nats::Event::Disconnected | async_nats::Event::Closed => {
                            seen.store(false, Ordering::Release)
                        }
                        // A slow consumer has lost rings: as good as a reconnect.
                        async_nats::Event::SlowConsumer(_) => sender.send_modify(|n| *n += 1),
                        _ => {}
                    }
                    tracing::debug!(%event, "NATS");
                }
            })
            .connect(url)
            .await?;
        let prefix = format!("roost.{}", server_name.replace(['.', '*', '>', ' '], "_")).into();
        Ok(Self(Kind::Nats(Nats { client, prefix, up, came_up })))
    }

    /// Whether there may be other nodes.
    pub fn is_shared(&self) -> bool {
        matches!(self.0, Kind::Nats(_))
    }

    /// Whether rings reach the other nodes at this moment.
    pub fn is_up(&self) -> bool {
        match &self.0 {
            Kind::Alone => true,
            Kind::Nats(nats) => nats.up.load(Ordering::Acquire),
        }
    }

    /// Rings; lost without a word where the bell is down.
    pub async fn ring(&self, topic: Topic, payload: Bytes) {
        if let Kind::Nats(nats) = &self.0
            && nats.up.load(Ordering::Acquire)
            && let Err(error) = nats.client.publish(format!("{}.{}", nats.prefix, topic.as_str()), payload).await
        {
            tracing::warn!(%error, "the bell did not ring");
        }
    }

    /// Hears what the other nodes ring about `topic` (and this one's own rings). Never ends; silent for a single node.
    pub fn listen(&self, topic: Topic) -> mpsc::Receiver<Bytes> {
        let (sender, receiver) = mpsc::channel(4096);
        match &self.0 {
            // Kept open: a receiver that ends would look like a shutdown.
            Kind::Alone => drop(tokio::spawn(async move { sender.closed().await })),
            Kind::Nats(nats) => {
                let nats = nats.clone();
                tokio::spawn(async move {
                    while !sender.is_closed() {
                        match nats.client.subscribe(format!("{}.{}", nats.prefix, topic.as_str())).await {
                            Ok(mut rings) => {
                                while let Some(ring) = rings.next().await {
                                    if sender.send(ring.payload).await.is_err() {
                                        return;
                                    }
                                }
                            }
                            Err(error) => tracing::warn!(%error, "the bell can't be heard"),
                        }
                        tokio::time::sleep(Duration::from_millis(200)).await;
                    }
                });
            }
        }
        receiver
    }

    /// Returns when the bell comes (back) up: what was rung meanwhile is lost. Never for a single node.
    pub async fn came_up(&mut self) {
        match &mut self.0 {
            Kind::Alone => std::future::pending().await,
            Kind::Nats(nats) => {
                if nats.came_up.changed().await.is_err() {
                    std::future::pending().await
                }
            }
        }
    }
}
