//! The cluster as the rest of the program sees it: start it, connect to it, stop it.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use tokio::{task::JoinHandle, time::sleep};
use tokio_util::sync::CancellationToken;

use super::{
    ClusterError, Holder,
    account::Account,
    folders::Folders,
    initialise::{self, initialise},
    installation::Installation,
    lock::Lock,
    postmaster::{Postmaster, Recipe, answers, running_pid},
    settings::{self, Sizes},
};
use crate::backoff::Backoff;

/// A stop takes no longer; PostgreSQL then finishes its last checkpoint by itself.
const STOP_PATIENCE: Duration = Duration::from_secs(4);
/// How long a command waits for a server that is just starting its cluster.
const SERVER_PATIENCE: Duration = Duration::from_secs(15);

/// A private cluster that runs; dropped without [`Cluster::stop`], PostgreSQL goes on and the next start adopts it.
#[derive(Debug)]
pub struct Cluster {
    connect: PgConnectOptions,
    stop: CancellationToken,
    keeper: JoinHandle<()>,
    _lock: Lock,
}

impl Cluster {
    /// Starts the cluster of a data folder, making both if they are missing; returns when it answers.
    ///
    /// # Errors
    /// Each says what is missing and what to do about it.
    pub async fn start(data_dir: &Path, sizes: Sizes, holder: Holder) -> Result<Self, ClusterError> {
        let account = Account::find(data_dir)?;
        let folders = Folders::create(data_dir)?;
        let lock =
            Lock::take(&folders.data, holder).await?.ok_or_else(|| ClusterError::Locked(folders.data.clone()))?;
        folders.check_reachable(&account).await?;

        let postgres = match folders.cluster.try_exists() {
            Ok(true) => {
                folders.check_cluster(&account)?;
                Installation::of_cluster(&account, &folders.cluster).await?
            }
            Ok(false) => {
                let newest = Installation::newest(&account).await?;
                tracing::info!(version = newest.version, path = %folders.cluster.display(), "making a PostgreSQL cluster");
                initialise(&folders, &account, &newest).await?;
                newest
            }
            Err(e) => return Err(ClusterError::io("can't open", &folders.cluster)(e)),
        };

        let lz4 = takes_lz4(&account, &postgres, &folders).await;
        let connect = connect_options(&folders);
        let arguments = settings::arguments(&folders, sizes, lz4);
        let recipe = Recipe { folders, account, postgres, arguments, connect: connect.clone() };
        let postmaster = recipe.start().await?;
        let stop = CancellationToken::new();
        let keeper = tokio::spawn(keep(recipe, postmaster, stop.clone()));
        Ok(Self { connect, stop, keeper, _lock: lock })
    }

    /// How to connect to it.
    pub fn connect_options(&self) -> PgConnectOptions {
        self.connect.clone()
    }

    /// Stops it: to be called after the last commit. Lets go of the data folder last.
    pub async fn stop(self) {
        self.stop.cancel();
        if let Err(error) = self.keeper.await {
            tracing::error!(%error, "the keeper of PostgreSQL ended early");
        }
    }
}

/// How to connect to the cluster of a data folder that a server runs; `None` if no server does.
///
/// # Errors
/// The folder can't be read, or a server holds it whose cluster doesn't answer.
pub async fn running(data_dir: &Path) -> Result<Option<PgConnectOptions>, ClusterError> {
    if !data_dir.exists() {
        return Ok(None);
    }
    let folders = Folders::locate(data_dir)?;
    if Lock::take(&folders.data, Holder::Command).await?.is_some() {
        return Ok(None);
    }
    let connect = connect_options(&folders);
    let asked = Instant::now();
    while asked.elapsed() < SERVER_PATIENCE {
        if running_pid(&folders.cluster).is_some() && answers(&connect).await {
            return Ok(Some(connect));
        }
        sleep(Duration::from_millis(50)).await;
    }
    Err(ClusterError::Silent { socket: folders.socket, log: folders.log })
}

/// Restarts PostgreSQL whenever it ends by itself, until told to stop it.
async fn keep(recipe: Recipe, mut postmaster: Postmaster, stop: CancellationToken) {
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
    loop {
        let since = Instant::now();
        tokio::select! {
            () = stop.cancelled() => break,
            () = postmaster.ended() => {}
        }
        tracing::error!(log = %recipe.folders.log.display(), "PostgreSQL ended; starting it again");
        if since.elapsed() > Duration::from_secs(60) {
            backoff.reset();
        }
        postmaster = loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = backoff.wait() => {}
            }
            match recipe.start().await {
                Ok(postmaster) => break postmaster,
                Err(error) => tracing::error!(%error, "PostgreSQL can't be started again"),
            }
        };
    }
    postmaster.interrupt();
    if tokio::time::timeout(STOP_PATIENCE, postmaster.ended()).await.is_err() {
        tracing::warn!("PostgreSQL is still writing its last checkpoint; it ends by itself");
        return;
    }
    // Under /tmp nobody else would tidy up; it is made anew at each start.
    if let Err(error) = std::fs::remove_dir(&recipe.folders.socket) {
        tracing::debug!(%error, "the socket's folder stays");
    }
}

fn connect_options(folders: &Folders) -> PgConnectOptions {
    PgConnectOptions::new_without_pgpass()
        .socket(&folders.socket)
        .port(5432)
        .username(initialise::NAME)
        .database(initialise::NAME)
        .ssl_mode(PgSslMode::Disable)
}

/// Whether this build of PostgreSQL has LZ4: most have, and a start with a value it doesn't know would fail.
async fn takes_lz4(account: &Account, postgres: &Installation, folders: &Folders) -> bool {
    let asked = account
        .command(&postgres.program("postgres"))
        .args(["-c", "wal_compression=lz4", "-c", "default_toast_compression=lz4", "-C", "wal_compression", "-D"])
        .arg(&folders.cluster)
        .output()
        .await;
    asked.is_ok_and(|output| output.status.success())
}
