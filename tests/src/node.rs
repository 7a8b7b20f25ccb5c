//! One `roost serve` process, configured by a file, as an operator runs it.
//!
//! **Invariant:** a node keeps its address and its configuration over restarts.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
    time::{Duration, Instant},
};

use crate::{cli::Cli, http::Server, port, process::Process, scratch};

/// The program under test: `ROOST_BIN`, or the release build in the target folder.
#[must_use]
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("ROOST_BIN") {
        return path.into();
    }
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target"), PathBuf::from);
    let path = target.join("release/roost");
    assert!(path.exists(), "{} is missing: build it first (make build), or name it in ROOST_BIN", path.display());
    path
}

/// A command for the program under test, free of the caller's own `ROOST_…` settings.
#[must_use]
pub fn roost() -> Command {
    plain(&binary())
}

/// A command that knows nothing of the caller's own `ROOST_…` settings.
#[must_use]
pub fn plain(program: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("ROOST_") {
            command.env_remove(name);
        }
    }
    command
}

#[derive(Debug)]
pub struct Node {
    name: String,
    config: PathBuf,
    base: String,
    log: PathBuf,
    process: Option<Process>,
}

impl Node {
    /// Writes the configuration and starts; `more` is TOML that comes after the harness's own keys.
    #[must_use]
    pub fn start(name: &str, server_name: &str, database: &str, nats: Option<&str>, more: &str) -> Self {
        let port = port::free();
        let data = scratch::dir(name);
        // The number comes last: two clusters at once both have a `node1`.
        let config = scratch::path(&format!("{name}.toml"));
        let nats = nats.map_or_else(String::new, |url| format!("[nats]\nurl = \"{url}\"\n"));
        let text = format!(
            "server_name = \"{server_name}\"\ndata_dir = \"{}\"\n[http]\nlisten = [\"127.0.0.1:{port}\"]\n\
             [database]\nurl = \"{database}\"\n[registration]\nmode = \"open\"\nshared_secret = \"{SHARED_SECRET}\"\n\
             [rate_limits]\nenabled = false\n{nats}{more}",
            data.display(),
        );
        fs::write(&config, text).expect("a configuration file");
        let base = format!("http://127.0.0.1:{port}");
        let mut node = Self { name: name.to_owned(), config, base, log: scratch::log(name), process: None };
        node.up();
        node
    }

    /// A client's view of this node.
    #[must_use]
    pub fn server(&self) -> Server {
        Server::at(&self.base)
    }

    /// The command line with this node's configuration.
    #[must_use]
    pub fn cli(&self) -> Cli {
        Cli::with(&["--config", &self.config.to_string_lossy()])
    }

    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    #[must_use]
    pub fn config(&self) -> &Path {
        &self.config
    }

    /// Starts the process (again); does not wait until it is ready.
    pub fn up(&mut self) {
        let mut command = roost();
        command.arg("serve").arg("--config").arg(&self.config);
        self.process = Some(Process::spawn(&self.name, command, &self.log));
    }

    /// Waits for 200 on `/health/ready`.
    ///
    /// # Panics
    /// If the process ends, or is not ready after `limit`.
    pub async fn ready(&mut self, limit: Duration) -> Duration {
        let process = self.process.as_mut().expect("a started node");
        wait_ready(&self.base, process, limit).await
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    /// SIGTERM; how long it took, and the status.
    pub async fn terminate(&mut self) -> (Duration, ExitStatus) {
        let mut process = self.process.take().expect("a started node");
        process.terminate(Duration::from_secs(30)).await
    }

    #[must_use]
    pub fn process(&self) -> Option<&Process> {
        self.process.as_ref()
    }
}

/// The secret of `/_synapse/admin/v1/register` on every server of the harness.
pub const SHARED_SECRET: &str = "a secret that deployment tools know";

/// Polls `/health/ready` until it answers 200; returns the time since the call.
///
/// # Panics
/// If the process ends, or is not ready after `limit`.
pub async fn wait_ready(base: &str, process: &mut Process, limit: Duration) -> Duration {
    let begin = Instant::now();
    let server = Server::at(base);
    loop {
        if let Ok(reply) = server.try_call("GET", "/health/ready", None, None).await
            && reply.status == 200
        {
            return begin.elapsed();
        }
        if let Some(status) = process.ended() {
            panic!("the server ended with {status} before it was ready:\n{}", process.logged());
        }
        assert!(begin.elapsed() < limit, "not ready after {limit:?}:\n{}", process.logged());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
