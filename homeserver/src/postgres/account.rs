//! Who runs PostgreSQL: the caller, or `postgres` when the caller is root, which PostgreSQL refuses.

use std::{
    os::unix::{fs::chown, process::CommandExt},
    path::Path,
    process::Stdio,
};

use nix::unistd::{User, geteuid};
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
    pub fn find() -> Result<Self, ClusterError> {
        let uid = geteuid();
        if uid.is_root() {
            let user = User::from_name("postgres").ok().flatten().ok_or(ClusterError::NoAccount)?;
            return Ok(Self { name: user.name, uid: user.uid.as_raw(), gid: user.gid.as_raw(), switched: true });
        }
        let name = User::from_uid(uid).ok().flatten().map_or_else(|| uid.to_string(), |user| user.name);
        Ok(Self { name, uid: uid.as_raw(), gid: nix::unistd::getegid().as_raw(), switched: false })
    }

    /// A command that runs as this account, in a process group of its own, with none of the caller's PostgreSQL variables.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = std::process::Command::new(program);
        for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PG")) {
            command.env_remove(name);
        }
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
