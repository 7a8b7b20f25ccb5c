//! The folders of one cluster: made, given to the right user, and checked on the way down.

use std::{
    fs::{self, DirBuilder, Permissions},
    io::ErrorKind,
    os::unix::{
        ffi::OsStrExt,
        fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    },
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use super::{ClusterError, account::Account};

/// A socket's full path must fit `sockaddr_un` with its closing zero.
const SOCKET_PATH_LIMIT: usize = 107;
/// What PostgreSQL calls the socket in its folder.
const SOCKET_NAME: &str = "/.s.PGSQL.5432";

/// Where the parts of one cluster lie.
#[derive(Clone, Debug)]
pub(super) struct Folders {
    /// The data folder, absolute and without symbolic links.
    pub data: PathBuf,
    /// The cluster itself.
    pub cluster: PathBuf,
    /// Where the socket lies.
    pub socket: PathBuf,
    /// What PostgreSQL writes to standard error.
    pub log: PathBuf,
}

impl Folders {
    /// Makes the data folder if it is missing.
    pub fn create(data: &Path) -> Result<Self, ClusterError> {
        make_all(data)?;
        Self::locate(data)
    }

    /// Where the parts of an existing data folder lie.
    pub fn locate(data: &Path) -> Result<Self, ClusterError> {
        let data = data.canonicalize().map_err(ClusterError::io("can't open", data))?;
        Ok(Self { cluster: data.join("postgres"), socket: socket_folder(&data), log: data.join("postgres.log"), data })
    }

    /// Makes the socket's folder, for the cluster's user only.
    pub fn prepare_socket(&self, account: &Account) -> Result<(), ClusterError> {
        match DirBuilder::new().mode(0o700).create(&self.socket) {
            Ok(()) => account.own(&self.socket),
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {
                // In a shared folder like /tmp somebody else may have been here first.
                let found = fs::symlink_metadata(&self.socket).map_err(ClusterError::io("can't open", &self.socket))?;
                if !found.is_dir() || found.uid() != account.uid {
                    return Err(foreign(&self.socket, found.uid(), account));
                }
                fs::set_permissions(&self.socket, Permissions::from_mode(0o700))
                    .map_err(ClusterError::io("can't close to others", &self.socket))
            }
            Err(e) => Err(ClusterError::io("can't create", &self.socket)(e)),
        }
    }

    /// Refuses a cluster that belongs to somebody else; closes one that is open to others.
    pub fn check_cluster(&self, account: &Account) -> Result<(), ClusterError> {
        let found = fs::metadata(&self.cluster).map_err(ClusterError::io("can't open", &self.cluster))?;
        if found.uid() != account.uid {
            return Err(foreign(&self.cluster, found.uid(), account));
        }
        if found.mode() & 0o777 != 0o700 {
            fs::set_permissions(&self.cluster, Permissions::from_mode(0o700))
                .map_err(ClusterError::io("can't close to others", &self.cluster))?;
        }
        Ok(())
    }

    /// Names the first folder on the way to the data folder that the cluster's user can't enter.
    pub async fn check_reachable(&self, account: &Account) -> Result<(), ClusterError> {
        let enters = async |folder: &Path| {
            // Only the kernel knows, with groups and access lists.
            let test = account.command(Path::new("test")).arg("-x").arg(folder).status().await;
            test.map(|status| status.success()).map_err(ClusterError::io("can't run `test -x` on", folder))
        };
        if enters(&self.data).await? {
            return Ok(());
        }
        let mut way: Vec<_> = self.data.ancestors().collect();
        way.reverse();
        for folder in way {
            if !enters(folder).await? {
                return Err(ClusterError::Unreachable { user: account.name.clone(), folder: folder.to_owned() });
            }
        }
        Ok(())
    }
}

fn foreign(folder: &Path, owner: u32, account: &Account) -> ClusterError {
    ClusterError::ForeignOwner { folder: folder.to_owned(), owner, user: account.name.clone() }
}

/// Every folder made is one that the cluster's user can pass through, whatever the caller's umask.
fn make_all(folder: &Path) -> Result<(), ClusterError> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(parent) = folder.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        make_all(parent)?;
    }
    match fs::create_dir(folder) {
        Ok(()) => fs::set_permissions(folder, Permissions::from_mode(0o711))
            .map_err(ClusterError::io("can't open up", folder)),
        // Two commands may start at once.
        Err(e) if e.kind() == ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
        Err(e) => Err(ClusterError::io("can't create", folder)(e)),
    }
}

/// In the data folder, or under a short name elsewhere when that would be too long for a socket.
fn socket_folder(data: &Path) -> PathBuf {
    let inside = data.join("socket");
    if inside.as_os_str().as_bytes().len() + SOCKET_NAME.len() < SOCKET_PATH_LIMIT {
        return inside;
    }
    let digest = Sha256::digest(data.as_os_str().as_bytes());
    let name: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    Path::new("/tmp").join(format!("roost-{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_data_folder_gets_a_short_socket() {
        let short = socket_folder(Path::new("/var/lib/roost"));
        assert_eq!(short, Path::new("/var/lib/roost/socket"));
        let long = socket_folder(Path::new(&format!("/{}", "x".repeat(90))));
        assert!(long.starts_with("/tmp") && long != socket_folder(Path::new(&format!("/{}", "y".repeat(90)))));
    }
}
