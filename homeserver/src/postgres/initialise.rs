//! Makes a new cluster aside and moves it into place when it is whole.

use std::{
    fs::{self, DirBuilder, File},
    os::unix::fs::DirBuilderExt,
    path::Path,
    process::Stdio,
};

use tokio::io::AsyncWriteExt;

use super::{ClusterError, account::Account, folders::Folders, installation::Installation};

/// The superuser and the database.
pub(super) const NAME: &str = "roost";

/// Started but unfinished clusters are called so, with a process number behind it.
const UNFINISHED: &str = ".postgres-unfinished-";

const HBA: &str = "# Whoever can open the socket, which lies in a folder closed to others, is let in; the network never.\n\
                   local all all trust\n\
                   host all all all reject\n";

/// Makes the cluster. Nobody ever used an unfinished one, so what an interrupted start left is removed.
pub(super) async fn initialise(
    folders: &Folders,
    account: &Account,
    postgres: &Installation,
) -> Result<(), ClusterError> {
    remove_unfinished(&folders.data);
    let aside = folders.data.join(format!("{UNFINISHED}{}", std::process::id()));
    DirBuilder::new().mode(0o700).create(&aside).map_err(ClusterError::io("can't create", &aside))?;
    account.own(&aside)?;

    let initdb = account
        .command(&postgres.program("initdb"))
        .args(["--encoding=UTF8", "--locale=C", "--auth-local=trust", "--auth-host=reject", "--data-checksums"])
        .arg(format!("--username={NAME}"))
        .arg("--pgdata")
        .arg(&aside)
        .output()
        .await
        .map_err(ClusterError::io("can't run initdb for", &aside))?;
    if !initdb.status.success() {
        return Err(ClusterError::Initdb(String::from_utf8_lossy(&initdb.stderr).trim().to_owned()));
    }
    fs::write(aside.join("pg_hba.conf"), HBA).map_err(ClusterError::io("can't write pg_hba.conf in", &aside))?;
    create_database(account, postgres, &aside).await?;

    fs::rename(&aside, &folders.cluster)
        .map_err(ClusterError::io("can't move the new cluster to", &folders.cluster))?;
    File::open(&folders.data)
        .and_then(|folder| folder.sync_all())
        .map_err(ClusterError::io("can't flush", &folders.data))
}

/// In single-user mode: the server need not run for it.
async fn create_database(account: &Account, postgres: &Installation, cluster: &Path) -> Result<(), ClusterError> {
    let failed = |problem: String| ClusterError::Initdb(format!("can't create the database: {problem}"));
    let mut single = account
        .command(&postgres.program("postgres"))
        .args(["--single", "-D"])
        .arg(cluster)
        .arg("postgres")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| failed(e.to_string()))?;
    if let Some(mut stdin) = single.stdin.take() {
        stdin.write_all(format!("CREATE DATABASE {NAME}\n").as_bytes()).await.map_err(|e| failed(e.to_string()))?;
    }
    let output = single.wait_with_output().await.map_err(|e| failed(e.to_string()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    // Single-user mode reports a failed statement but exits with 0.
    if output.status.success() && !said.contains("ERROR:") { Ok(()) } else { Err(failed(said.trim().to_owned())) }
}

fn remove_unfinished(data: &Path) {
    let Ok(entries) = fs::read_dir(data) else { return };
    for entry in entries.flatten().filter(|e| e.file_name().to_string_lossy().starts_with(UNFINISHED)) {
        if let Err(error) = fs::remove_dir_all(entry.path()) {
            tracing::warn!(path = %entry.path().display(), %error, "can't remove an unfinished cluster");
        }
    }
}
