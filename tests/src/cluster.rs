//! Several nodes on one PostgreSQL and one NATS.
//!
//! **Invariant:** the nodes differ in address and data folder only; media lie in one folder.

use std::{path::PathBuf, time::Duration};

use crate::{http::Server, nats::Nats, node::Node, postgres::Postgres, scratch};

/// Fields are dropped in this order: nodes first, what they stand on after them.
#[derive(Debug)]
pub struct Cluster {
    pub nodes: Vec<Node>,
    pub nats: Nats,
    pub postgres: Postgres,
    media: PathBuf,
}

impl Cluster {
    /// `count` nodes, all of them ready.
    pub async fn start(count: usize) -> Self {
        Self::start_with(count, "").await
    }

    /// As [`Cluster::start`], with more TOML in every node's configuration.
    pub async fn start_with(count: usize, more: &str) -> Self {
        let postgres = Postgres::start().await;
        let nats = Nats::start().await;
        let media = scratch::dir("media");
        let more = format!("[media]\npath = \"{}\"\n{more}", media.display());
        let nodes = (1..=count)
            .map(|n| Node::start(&format!("node{n}"), "localhost", &postgres.url(), Some(&nats.url()), &more))
            .collect();
        let mut cluster = Self { nodes, nats, postgres, media };
        for node in &mut cluster.nodes {
            node.ready(Duration::from_secs(60)).await;
        }
        cluster
    }

    /// Starts another node, which is nobody's to share, and waits until it is ready.
    pub async fn another(&self, name: &str) -> Node {
        let more = format!("[media]\npath = \"{}\"\n", self.media.display());
        let mut node = Node::start(name, "localhost", &self.postgres.url(), Some(&self.nats.url()), &more);
        node.ready(Duration::from_secs(60)).await;
        node
    }

    /// A client's view of node `index`, counted from 0.
    #[must_use]
    pub fn server(&self, index: usize) -> Server {
        self.nodes[index].server()
    }
}
