//! Finds PostgreSQL's programs: on PATH and where the packages of several systems put them.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use super::{ClusterError, account::Account};

/// The oldest version that the schema is written for.
const OLDEST: u32 = 15;

/// Folders with a subfolder for each version; `bin` or the subfolder itself holds the programs.
const VERSIONED: &[(&str, &str)] = &[
    ("/usr/lib/postgresql", ""),
    ("/usr", "pgsql-"),
    ("/usr/lib64", "pgsql"),
    ("/usr/libexec", "postgresql"),
    ("/opt/homebrew/opt", "postgresql@"),
    ("/usr/local/opt", "postgresql@"),
    ("/Library/PostgreSQL", ""),
    ("/usr/local", "pgsql"),
    ("/opt", "postgresql"),
];

/// One installed version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Installation {
    pub version: u32,
    pub bin: PathBuf,
}

impl Installation {
    /// The highest version, for a new cluster.
    pub async fn newest(account: &Account) -> Result<Self, ClusterError> {
        let found = all(account, candidates()).await;
        found.into_iter().filter(|i| i.version >= OLDEST).max_by_key(|i| i.version).ok_or(ClusterError::NotInstalled)
    }

    /// Exactly the version that made an existing cluster.
    pub async fn of_cluster(account: &Account, cluster: &Path) -> Result<Self, ClusterError> {
        let file = cluster.join("PG_VERSION");
        let text = match fs::read_to_string(&file) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Err(ClusterError::NotACluster(cluster.into()));
            }
            Err(e) => return Err(ClusterError::io("can't read", file)(e)),
        };
        let version = text.trim().parse().map_err(|_| ClusterError::NotACluster(cluster.into()))?;
        // The usual place first: asking each candidate costs a process.
        let usual = PathBuf::from(format!("/usr/lib/postgresql/{version}/bin"));
        if let Some(found) = ask(account, &usual).await.filter(|i| i.version == version) {
            return Ok(found);
        }
        let found = all(account, candidates()).await;
        found
            .into_iter()
            .find(|i| i.version == version)
            .ok_or_else(|| ClusterError::VersionMissing { folder: cluster.into(), version })
    }

    /// One of its programs.
    pub fn program(&self, name: &str) -> PathBuf {
        self.bin.join(name)
    }
}

async fn all(account: &Account, folders: BTreeSet<PathBuf>) -> Vec<Installation> {
    let mut found = Vec::new();
    for folder in folders {
        found.extend(ask(account, &folder).await);
    }
    found
}

/// Asked as the cluster's user, so that programs it may not run don't count.
async fn ask(account: &Account, bin: &Path) -> Option<Installation> {
    let output = account.command(&bin.join("postgres")).arg("--version").output().await.ok()?;
    let version = parse_version(std::str::from_utf8(&output.stdout).ok()?)?;
    Some(Installation { version, bin: bin.to_owned() })
}

/// `postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)`, `pg_dump (PostgreSQL) 19beta1`
pub(super) fn parse_version(line: &str) -> Option<u32> {
    let (_, rest) = line.trim().split_once("(PostgreSQL) ")?;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).map_or(rest, |end| &rest[..end]);
    digits.parse().ok()
}

/// Folders that hold the programs of a server.
fn candidates() -> BTreeSet<PathBuf> {
    with_programs(&["postgres", "initdb"])
}

/// Folders that hold all of `programs`; links are followed so that one installation counts once.
pub(super) fn with_programs(programs: &[&str]) -> BTreeSet<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).filter(|folder| folder.is_absolute()).collect();
    for (parent, prefix) in VERSIONED {
        let Ok(entries) = fs::read_dir(parent) else { continue };
        for entry in entries.flatten().filter(|e| e.file_name().to_string_lossy().starts_with(prefix)) {
            folders.extend([entry.path().join("bin"), entry.path()]);
        }
    }
    folders
        .into_iter()
        .filter(|folder| programs.iter().all(|program| folder.join(program).is_file()))
        .filter_map(|folder| folder.canonicalize().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_what_postgres_prints() {
        assert_eq!(parse_version("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"), Some(15));
        assert_eq!(parse_version("postgres (PostgreSQL) 19beta1"), Some(19));
        assert_eq!(parse_version("postgres: command not found"), None);
    }

    #[tokio::test]
    async fn a_missing_version_is_named_with_its_package() {
        let folder = std::env::temp_dir().join(format!("roost-version-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("PG_VERSION"), "9\n").unwrap();
        let account = Account::find(Path::new("/nonexistent")).unwrap();
        let error = Installation::of_cluster(&account, &folder).await.unwrap_err().to_string();
        assert!(error.contains("install the package postgresql-9"), "{error}");
        fs::remove_file(folder.join("PG_VERSION")).unwrap();
        let error = Installation::of_cluster(&account, &folder).await.unwrap_err().to_string();
        assert!(error.contains("holds no PostgreSQL cluster"), "{error}");
        fs::remove_dir_all(&folder).unwrap();
    }
}
