//! One quickstart and one two-node cluster that light tests share, each started by the first that asks.
//!
//! Tests on a shared server use users and rooms of their own, and break nothing that others need.
//!
//! **Invariant:** a shared server is never killed, reconfigured or stopped by a test; the janitor ends it.

use std::{ops::Deref, path::PathBuf};

use tokio::sync::OnceCell;

use crate::{Cluster, Quickstart, Server, process};

static QUICKSTART: OnceCell<Quickstart> = OnceCell::const_new();
static CLUSTER: OnceCell<Cluster> = OnceCell::const_new();

/// A shared server, seen from one test. The end of its log is printed when that test fails.
#[derive(Debug)]
pub struct Shared {
    server: Server,
    logs: Vec<PathBuf>,
}

impl Deref for Shared {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for log in &self.logs {
                process::show("shared server", log);
            }
        }
    }
}

/// The shared quickstart; with `ROOST_E2E_SERVER` another server at that address, which shows whether a story is fair.
pub async fn server() -> Shared {
    if let Some(other) = other_server() {
        return Shared { server: other, logs: Vec::new() };
    }
    let quickstart = QUICKSTART.get_or_init(Quickstart::start).await;
    Shared { server: quickstart.server(), logs: vec![quickstart.log().to_owned()] }
}

/// The shared quickstart itself, for its folder and command line.
pub async fn quickstart() -> &'static Quickstart {
    QUICKSTART.get_or_init(Quickstart::start).await
}

/// Both nodes of the shared cluster.
pub async fn nodes() -> (Shared, Shared) {
    if let Some(other) = other_server() {
        return (Shared { server: other.clone(), logs: Vec::new() }, Shared { server: other, logs: Vec::new() });
    }
    let cluster = cluster().await;
    let shared = |n: usize| Shared { server: cluster.server(n), logs: vec![cluster.nodes[n].log().to_owned()] };
    (shared(0), shared(1))
}

/// The shared cluster itself, for its database.
pub async fn cluster() -> &'static Cluster {
    CLUSTER.get_or_init(|| Cluster::start(2)).await
}

fn other_server() -> Option<Server> {
    std::env::var("ROOST_E2E_SERVER").ok().map(|base| Server::at(&base))
}
