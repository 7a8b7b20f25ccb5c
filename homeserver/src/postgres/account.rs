//! Who runs PostgreSQL: the caller. Root, whom PostgreSQL refuses, acts as whoever owns the data folder, or as `postgres`.

use std::{
    fs, io,
    os::unix::{
        fs::{MetadataExt, chown},
        process::CommandExt,
    },
    path::Path,
    process::Stdio,
};

use nix::unistd::{Uid, User, geteuid};
use tokio::process::Command;

use super::ClusterError;

/// The account under which PostgreSQL's programs run.
#[derive(Clone, Debug)]
pub(super) struct Account {
    pub name: String,
    pub uid: u32,
    gid: u32,
    /// Whether it differs from ours.
    switched: bool,
}

impl Account {
    /// For the cluster in `data`, which may not be there yet.
    pub fn find(data: &Path) -> Result<Self, ClusterError> {
        let uid = geteuid();
        let name = |uid: u32| {
            let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
            user.map_or_else(|| uid.to_string(), |user| user.name)
        };
        if !uid.is_root() {
            let (uid, gid) = (uid.as_raw(), nix::unistd::getegid().as_raw());
            return Ok(Self { name: name(uid), uid, gid, switched: false });
        }
        if let Owner(Some((uid, gid))) = Owner::of(&data.join("postgres")).or(data) {
            return Ok(Self { name: name(uid), uid, gid, switched: true });
        }
        let user = User::from_name("postgres").ok().flatten().ok_or(ClusterError::NoAccount)?;
        Ok(Self { name: user.name, uid: user.uid.as_raw(), gid: user.gid.as_raw(), switched: true })
    }

    /// A command that runs as this account, in a process group of its own, with none of the caller's PostgreSQL variables.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = std::process::Command::new(program);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PG")) {
            command.env_remove(name);
        }
        // PostgreSQL, too, tells a supervisor that it is ready, and when it stops.
        command.env_remove("NOTIFY_SOCKET");
        command.env("LC_ALL", "C").env("TZ", "UTC").env_remove("LANGUAGE").current_dir("/").stdin(Stdio::null());
        // The terminal's Ctrl-C goes to the foreground group: PostgreSQL must outlive the last commit.
        command.process_group(0);
        if self.switched {
            // std drops the supplementary groups with this.
            command.uid(self.uid).gid(self.gid);
        }
        command.into()
    }

    /// Gives a file or folder to this account.
    pub fn own(&self, path: &Path) -> Result<(), ClusterError> {
        if !self.switched {
            return Ok(());
        }
        chown(path, Some(self.uid), Some(self.gid)).map_err(ClusterError::io("can't give away", path))
    }
}

/// Whose folder it is in which root makes something: it becomes theirs, so that nothing of root's stops their server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner(Option<(u32, u32)>);

impl Owner {
    /// Nobody in particular where we are not root, or the folder is root's or not there.
    pub fn of(folder: &Path) -> Self {
        let found = fs::metadata(folder).ok().filter(|found| geteuid().is_root() && found.uid() != 0);
        Self(found.map(|found| (found.uid(), found.gid())))
    }

    /// Who owns `folder`, where this is nobody in particular.
    #[must_use]
    pub fn or(self, folder: &Path) -> Self {
        Self(self.0.or(Self::of(folder).0))
    }

    /// Gives them a file or folder.
    ///
    /// # Errors
    /// The system's own.
    pub fn take(self, path: &Path) -> io::Result<()> {
        match self.0 {
            Some((uid, gid)) => chown(path, Some(uid), Some(gid)),
            None => Ok(()),
        }
    }
}
