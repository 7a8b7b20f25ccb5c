//! `roost quickstart`: a server with its private PostgreSQL in a folder of its own.
//!
//! **Invariant:** two quickstarts share nothing.

use std::{
    path::{Path, PathBuf},
    process::ExitStatus,
    time::Duration,
};

use crate::{
    cli::Cli,
    http::Server,
    node::{SHARED_SECRET, roost, wait_ready},
    port,
    process::Process,
    scratch,
};

#[derive(Debug)]
pub struct Quickstart {
    data: PathBuf,
    port: u16,
    log: PathBuf,
    settings: Vec<(String, String)>,
    process: Option<Process>,
}

impl Quickstart {
    /// Open registration, no rate limits; ready when this returns.
    pub async fn start() -> Self {
        Self::start_with(&[
            ("ROOST_REGISTRATION__MODE", "open"),
            ("ROOST_REGISTRATION__SHARED_SECRET", SHARED_SECRET),
            ("ROOST_RATE_LIMITS__ENABLED", "false"),
        ])
        .await
    }

    /// With these environment variables and nothing else set; ready when this returns.
    pub async fn start_with(settings: &[(&str, &str)]) -> Self {
        let mut quickstart = Self::prepare(settings);
        quickstart.up();
        quickstart.ready(Duration::from_secs(60)).await;
        quickstart
    }

    /// A folder and a port, nothing started.
    #[must_use]
    pub fn prepare(settings: &[(&str, &str)]) -> Self {
        let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        // The server creates the folder itself, as it does for a newcomer.
        Self { data: scratch::path("quick"), port: port::free(), log: scratch::log("quick"), settings, process: None }
    }

    #[must_use]
    pub fn server(&self) -> Server {
        Server::at(&self.base())
    }

    #[must_use]
    pub fn base(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    #[must_use]
    pub fn data(&self) -> &Path {
        &self.data
    }

    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The command line on this folder.
    #[must_use]
    pub fn cli(&self) -> Cli {
        Cli::with(&["--data-dir", &self.data.to_string_lossy()])
    }

    /// Starts the process (again); does not wait until it is ready.
    pub fn up(&mut self) {
        self.process = Some(self.spawn_on(self.port));
    }

    /// One more process on the same folder, at a port of its own.
    #[must_use]
    pub fn second_process(&self) -> Process {
        self.spawn_on(port::free())
    }

    /// Waits for 200 on `/health/ready`; returns the time since the call.
    pub async fn ready(&mut self, limit: Duration) -> Duration {
        let base = self.base();
        wait_ready(&base, self.process.as_mut().expect("a started quickstart"), limit).await
    }

    /// Everything printed so far, once it contains `words` so many times.
    ///
    /// # Panics
    /// If it does not within a few seconds.
    pub async fn printed(&self, words: &str, times: usize) -> String {
        let process = self.process.as_ref().expect("a started quickstart");
        for _ in 0..100 {
            let printed = process.logged();
            if printed.matches(words).count() >= times {
                return printed;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{words:?} is not printed:\n{}", process.logged());
    }

    /// SIGKILL: its PostgreSQL is orphaned and stays.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    /// SIGTERM; how long it took, and the status.
    pub async fn terminate(&mut self) -> (Duration, ExitStatus) {
        let mut process = self.process.take().expect("a started quickstart");
        process.terminate(Duration::from_secs(30)).await
    }

    #[must_use]
    pub fn process(&self) -> Option<&Process> {
        self.process.as_ref()
    }

    fn spawn_on(&self, port: u16) -> Process {
        let mut command = roost();
        command
            .arg("quickstart")
            .arg("--data-dir")
            .arg(&self.data)
            .env("ROOST_HTTP__LISTEN", format!("[\"127.0.0.1:{port}\"]"))
            .envs(self.settings.iter().map(|(name, value)| (name, value)));
        Process::spawn("quickstart", command, &self.log)
    }
}
