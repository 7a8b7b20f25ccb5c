//! A `nats-server` that can go away and come back on the same port.
//!
//! **Invariant:** core NATS only, no storage: whatever was on its way when it stops is lost.

use std::{
    fs,
    net::TcpStream,
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use crate::{port, process::Process, scratch};

#[derive(Debug)]
pub struct Nats {
    port: u16,
    log: PathBuf,
    config: Option<PathBuf>,
    process: Option<Process>,
}

impl Nats {
    pub async fn start() -> Self {
        Self::make(None).await
    }

    /// With a configuration of its own (`authorization`, `tls`, …).
    pub async fn start_with(config: &str) -> Self {
        let path = scratch::path("nats.conf");
        fs::write(&path, config).expect("a configuration file");
        Self::make(Some(path)).await
    }

    async fn make(config: Option<PathBuf>) -> Self {
        let mut nats = Self { port: port::free(), log: scratch::log("nats"), config, process: None };
        nats.up().await;
        nats
    }

    /// Host and port.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// SIGSTOP: connections stay, and nothing is read from them.
    pub fn freeze(&self) {
        self.process.iter().for_each(|process| process.signal("STOP"));
    }

    /// SIGCONT.
    pub fn thaw(&self) {
        self.process.iter().for_each(|process| process.signal("CONT"));
    }

    /// The address for `nats.url`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    pub async fn up(&mut self) {
        let mut command = Command::new("nats-server");
        command.args(["-a", "127.0.0.1", "-p", &self.port.to_string()]);
        if let Some(config) = &self.config {
            command.arg("-c").arg(config);
        }
        self.process = Some(Process::spawn("nats-server", command, &self.log));
        let begin = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(begin.elapsed() < Duration::from_secs(20), "nats-server does not come up");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// SIGKILL: gone until [`Nats::up`].
    pub fn down(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }
}
