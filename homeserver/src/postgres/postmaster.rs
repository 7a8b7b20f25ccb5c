//! One running PostgreSQL: started by us, or found running and adopted.

use std::{
    fs::{self, OpenOptions},
    io::ErrorKind,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use sqlx::{Connection, PgConnection, postgres::PgConnectOptions};
use tokio::{process::Child, time::sleep};

use super::{
    ClusterError,
    account::{Account, Owner},
    folders::Folders,
    installation::Installation,
    settings,
};

/// Replaying a full WAL on a slow disk takes this long at worst.
const START_PATIENCE: Duration = Duration::from_secs(120);
/// An orphan that answers nothing for so long is stopped.
const ORPHAN_PATIENCE: Duration = Duration::from_secs(5);
/// The log is started anew beyond this.
const LOG_LIMIT: u64 = 16 << 20;

/// What it takes to start this cluster again.
#[derive(Clone, Debug)]
pub(super) struct Recipe {
    pub folders: Folders,
    pub account: Account,
    pub postgres: Installation,
    pub arguments: Vec<String>,
    pub connect: PgConnectOptions,
}

/// A PostgreSQL that answered.
#[derive(Debug)]
pub(super) struct Postmaster {
    pid: Pid,
    /// `None` when another process started it.
    child: Option<Child>,
}

impl Recipe {
    /// Adopts a cluster that runs with our settings, else starts one; returns when it answers.
    pub async fn start(&self) -> Result<Postmaster, ClusterError> {
        let deadline = Instant::now() + START_PATIENCE;
        if let Some(adopted) = self.adopt(deadline).await? {
            return Ok(adopted);
        }
        loop {
            let mut child = self.spawn()?;
            let pid = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
            loop {
                if answers(&self.connect).await {
                    let pid = pid.ok_or_else(|| self.silent())?;
                    return Ok(Postmaster { pid, child: Some(child) });
                }
                if let Ok(Some(_)) = child.try_wait() {
                    break;
                }
                if Instant::now() > deadline {
                    return Err(self.silent());
                }
                sleep(Duration::from_millis(15)).await;
            }
            let tail = tail(&self.folders.log);
            // Backends of a killed postmaster notice its death within moments.
            if !tail.contains("pre-existing shared memory block") || Instant::now() > deadline {
                return Err(ClusterError::DidNotStart { log: self.folders.log.clone(), tail });
            }
            sleep(Duration::from_millis(200)).await;
        }
    }

    async fn adopt(&self, deadline: Instant) -> Result<Option<Postmaster>, ClusterError> {
        let Some(pid) = running_pid(&self.folders.cluster) else { return Ok(None) };
        let opts = fs::read_to_string(self.folders.cluster.join("postmaster.opts")).unwrap_or_default();
        let ours = opts.trim_end() == settings::recorded(&self.postgres.program("postgres"), &self.arguments);
        let asked = Instant::now();
        while ours && alive(pid) && asked.elapsed() < ORPHAN_PATIENCE {
            if answers(&self.connect).await {
                tracing::info!(pid = pid.as_raw(), "adopted the PostgreSQL that an earlier process left running");
                return Ok(Some(Postmaster { pid, child: None }));
            }
            sleep(Duration::from_millis(15)).await;
        }
        tracing::info!(pid = pid.as_raw(), "restarting the PostgreSQL that an earlier process left running");
        let mut signal = Signal::SIGINT;
        while alive(pid) {
            send(pid, signal);
            if Instant::now() > deadline {
                return Err(self.silent());
            }
            wait_gone(pid, ORPHAN_PATIENCE * 2).await;
            signal = Signal::SIGQUIT;
        }
        Ok(None)
    }

    fn spawn(&self) -> Result<Child, ClusterError> {
        disown_lock_files(&self.folders);
        self.folders.prepare_socket(&self.account)?;
        let log = &self.folders.log;
        if fs::metadata(log).is_ok_and(|m| m.len() > LOG_LIMIT) {
            fs::rename(log, log.with_extension("log.old")).map_err(ClusterError::io("can't move", log))?;
        }
        let out = OpenOptions::new().append(true).create(true).mode(0o600).open(log);
        let out = out.map_err(ClusterError::io("can't open", log))?;
        Owner::of(&self.folders.data).take(log).map_err(ClusterError::io("can't give away", log))?;
        let err = out.try_clone().map_err(ClusterError::io("can't open", log))?;
        self.account
            .command(&self.postgres.program("postgres"))
            .args(&self.arguments)
            .stdout(Stdio::from(out))
            .stderr(Stdio::from(err))
            .spawn()
            .map_err(ClusterError::io("can't run postgres for", &self.folders.cluster))
    }

    fn silent(&self) -> ClusterError {
        ClusterError::Silent { socket: self.folders.socket.clone(), log: self.folders.log.clone() }
    }
}

impl Postmaster {
    /// Returns when it has ended, for whatever reason.
    pub async fn ended(&mut self) {
        match &mut self.child {
            Some(child) => {
                if let Err(error) = child.wait().await {
                    tracing::error!(%error, "can't wait for PostgreSQL");
                    wait_gone(self.pid, Duration::MAX).await;
                }
            }
            None => wait_gone(self.pid, Duration::MAX).await,
        }
    }

    /// Asks for a fast shutdown: running statements are cancelled, committed ones are already on disk.
    pub fn interrupt(&self) {
        send(self.pid, Signal::SIGINT);
    }
}

/// Whether it takes connections.
pub(super) async fn answers(connect: &PgConnectOptions) -> bool {
    match PgConnection::connect_with(connect).await {
        Ok(connection) => connection.close().await.is_ok(),
        Err(_) => false,
    }
}

/// The postmaster that runs on this cluster.
pub(super) fn running_pid(cluster: &Path) -> Option<Pid> {
    let (pid, _) = pid_file(cluster)?;
    // A postmaster's working directory is its cluster. Where the system can't tell, the number is believed.
    let elsewhere = fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|folder| folder != cluster);
    (alive(pid) && !elsewhere).then_some(pid)
}

/// The number in the pid file, and the lines after it.
fn pid_file(cluster: &Path) -> Option<(Pid, String)> {
    let text = fs::read_to_string(cluster.join("postmaster.pid")).ok()?;
    let (first, rest) = text.split_once('\n')?;
    let pid = first.trim().parse().ok().filter(|pid| *pid > 1)?;
    Some((Pid::from_raw(pid), rest.to_owned()))
}

/// PostgreSQL believes any number in its lock files that some process has, be it another program's by now or a dead
/// child's that nobody collects. To be called when no postmaster runs.
///
/// The pid file stays, with a number that nobody has: the rest of it lets PostgreSQL find backends that still run.
fn disown_lock_files(folders: &Folders) {
    let file = folders.cluster.join("postmaster.pid");
    if let Some((_, rest)) = pid_file(&folders.cluster)
        && let Err(error) = fs::write(&file, format!("{}\n{rest}", i32::MAX))
    {
        tracing::warn!(path = %file.display(), %error, "can't mark a pid file as stale");
    }
    let lock = folders.socket.join(".s.PGSQL.5432.lock");
    if let Err(error) = fs::remove_file(&lock)
        && error.kind() != ErrorKind::NotFound
    {
        tracing::warn!(path = %lock.display(), %error, "can't remove a stale lock file");
    }
}

/// Neither gone nor dead and uncollected.
fn alive(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let dead = stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z'));
    kill(pid, None) != Err(Errno::ESRCH) && !dead
}

fn send(pid: Pid, signal: Signal) {
    match kill(pid, signal) {
        Ok(()) | Err(Errno::ESRCH) => {}
        Err(error) => tracing::warn!(pid = pid.as_raw(), %error, "can't signal PostgreSQL"),
    }
}

async fn wait_gone(pid: Pid, patience: Duration) {
    let asked = Instant::now();
    while alive(pid) && asked.elapsed() < patience {
        sleep(Duration::from_millis(50)).await;
    }
}

/// The last lines of the log, for an error message.
fn tail(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<_> = text.lines().collect();
    lines[lines.len().saturating_sub(5)..].join("\n")
}
