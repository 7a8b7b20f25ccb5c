//! The bell: tells other nodes that something was committed, and carries what must not last (typing, presence).
//!
//! One node needs none; several share a NATS server. The bell may lose a ring: PostgreSQL is the truth, and `log` finds
//! what it missed.
//!
//! **Invariant:** no other room knows NATS, and nothing here is needed for correctness.

mod nats;
mod queue;

use bytes::Bytes;
pub use nats::Refusal;
use tokio::sync::mpsc;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::nats::Nats;
use crate::config;

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
    Nats(Box<Nats>),
}

/// What is rung about one topic.
pub struct Rings(Option<mpsc::Receiver<Bytes>>);

/// Whose tasks the bell's are, and what ends them.
#[derive(Clone)]
pub struct Owner {
    pub tasks: TaskTracker,
    pub shutdown: CancellationToken,
}

impl Rings {
    /// The next ring. Never for a single node; `None` when the node goes down.
    pub async fn recv(&mut self) -> Option<Bytes> {
        match &mut self.0 {
            Some(rings) => rings.recv().await,
            None => std::future::pending().await,
        }
    }
}

impl Bell {
    /// The bell of a single node.
    pub fn alone() -> Self {
        Self(Kind::Alone)
    }

    /// Connects to one of the NATS servers that `config` names, now or whenever one comes up; rings for nobody if it names
    /// none. Nodes of one `server_name` hear each other.
    ///
    /// # Errors
    /// See [`Refusal`]: what is wrong with the configuration. A server that is away is none.
    pub async fn open(config: &config::Nats, server_name: &str, owner: Owner) -> Result<Self, Refusal> {
        if config.url.is_empty() {
            return Ok(Self::alone());
        }
        Ok(Self(Kind::Nats(Box::new(Nats::open(config, server_name, owner).await?))))
    }

    /// Connects once, to see whether a server lets us in.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub async fn try_out(config: &config::Nats) -> Result<(), Refusal> {
        if config.url.is_empty() { Ok(()) } else { nats::try_out(config).await }
    }

    /// Whether there may be other nodes.
    pub fn is_shared(&self) -> bool {
        matches!(self.0, Kind::Nats(_))
    }

    /// Whether rings reach the other nodes at this moment: connected, and what this node rang itself has just come back.
    pub fn is_up(&self) -> bool {
        match &self.0 {
            Kind::Alone => true,
            Kind::Nats(nats) => nats.is_up(),
        }
    }

    /// Rings, without waiting for anything; lost without a word where the bell is down or slow.
    pub fn ring(&self, topic: Topic, payload: Bytes) {
        if let Kind::Nats(nats) = &self.0
            // A heartbeat finds out whether it is up again.
            && (topic == Topic::Heartbeat || nats.is_up())
        {
            nats.ring(topic, payload);
        }
    }

    /// Hears what the other nodes ring about `topic` (and this one's own rings). Never ends; silent for a single node.
    pub fn listen(&self, topic: Topic) -> Rings {
        match &self.0 {
            Kind::Alone => Rings(None),
            Kind::Nats(nats) => Rings(Some(nats.listen(topic))),
        }
    }

    /// Returns when the bell comes (back) up: what was rung meanwhile is lost. Never for a single node.
    pub async fn came_up(&mut self) {
        match &mut self.0 {
            Kind::Alone => std::future::pending().await,
            Kind::Nats(nats) => nats.came_up().await,
        }
    }
}
