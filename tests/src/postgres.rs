//! A PostgreSQL server of the harness's own, for nodes that share one.
//!
//! **Invariant:** `fsync` and `synchronous_commit` are on, as they are for users.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use sqlx::{Connection as _, PgConnection, Row as _};

use crate::{authority::Certificate, port, process::Process, scratch};

/// A running cluster with one empty database.
#[derive(Debug)]
pub struct Postgres {
    bin: PathBuf,
    data: PathBuf,
    log: PathBuf,
    port: u16,
    settings: Vec<String>,
    process: Option<Process>,
}

impl Postgres {
    /// `initdb`, start, create the database `roost`.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// As [`Postgres::start`], with further settings (`autovacuum=off`).
    pub async fn start_with(settings: &[&str]) -> Self {
        Self::make(settings, &[]).await
    }

    /// As [`Postgres::start`], and whoever comes without TLS is turned away.
    pub async fn start_encrypted(certificate: &Certificate) -> Self {
        let files = [
            ("server.crt", certificate.chain.as_str()),
            ("server.key", certificate.key.as_str()),
            ("pg_hba.conf", "hostssl all all 127.0.0.1/32 trust\n"),
        ];
        Self::make(&["ssl=on"], &files).await
    }

    /// `files` lie in the cluster's folder.
    async fn make(settings: &[&str], files: &[(&str, &str)]) -> Self {
        let bin = binaries();
        let data = scratch::dir("pg");
        if let Some((uid, gid)) = postgres_user() {
            chown(&data, Some(uid), Some(gid)).expect("chown of the cluster's folder");
        }
        let done = as_postgres(&bin.join("initdb"))
            .arg("--pgdata")
            .arg(&data)
            .args(["--username=roost", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"])
            .output()
            .expect("initdb");
        assert!(done.status.success(), "initdb: {}", String::from_utf8_lossy(&done.stderr));
        for (name, text) in files {
            let path = data.join(name);
            fs::write(&path, text).expect("a file of the cluster");
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("chmod");
            if let Some((uid, gid)) = postgres_user() {
                chown(&path, Some(uid), Some(gid)).expect("chown of a file of the cluster");
            }
        }
        let settings = settings.iter().map(|&setting| setting.to_owned()).collect();
        let (log, port) = (scratch::log("postgres"), port::free());
        let mut postgres = Self { bin, data, log, port, settings, process: None };
        postgres.up().await;
        let mut admin = PgConnection::connect(&postgres.url_of("postgres")).await.expect("connection");
        sqlx::query("CREATE DATABASE roost").execute(&mut admin).await.expect("CREATE DATABASE");
        postgres
    }

    /// The address for `database.url`.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_of("roost")
    }

    /// A connection to the nodes' database.
    pub async fn connect(&self) -> PgConnection {
        PgConnection::connect(&self.url()).await.expect("connection to the test's PostgreSQL")
    }

    /// One number out of the database.
    pub async fn number(&self, sql: &'static str) -> i64 {
        sqlx::query(sql).fetch_one(&mut self.connect().await).await.expect(sql).get(0)
    }

    /// Bytes that all tables with their indexes and TOAST take.
    pub async fn table_bytes(&self) -> i64 {
        self.number(
            "SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::int8 FROM pg_class c \
             JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema')",
        )
        .await
    }

    /// Transactions begun so far in the nodes' database, commits and rollbacks.
    pub async fn transactions(&self) -> i64 {
        // Read through another database, so that the reading does not count itself.
        let mut outside = PgConnection::connect(&self.url_of("postgres")).await.expect("connection");
        sqlx::query("SELECT (xact_commit + xact_rollback)::int8 FROM pg_stat_database WHERE datname = 'roost'")
            .fetch_one(&mut outside)
            .await
            .expect("pg_stat_database")
            .get(0)
    }

    /// Starts it again on the same port after [`Postgres::stop`] or [`Postgres::crash`].
    pub async fn up(&mut self) {
        let mut command = as_postgres(&self.bin.join("postgres"));
        command.arg("-D").arg(&self.data);
        let port = format!("port={}", self.port);
        let fixed = [port.as_str(), "listen_addresses=127.0.0.1", "unix_socket_directories=", "max_connections=200"];
        for setting in fixed.into_iter().chain(self.settings.iter().map(String::as_str)) {
            command.arg("-c").arg(setting);
        }
        self.process = Some(Process::spawn("postgres", command, &self.log));
        let begin = Instant::now();
        while let Err(error) = PgConnection::connect(&self.url_of("postgres")).await {
            assert!(begin.elapsed() < Duration::from_secs(60), "PostgreSQL does not come up: {error}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// A fast shutdown, as an operator's restart does it: open connections are cut.
    pub async fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.signal("INT");
            process.wait(Duration::from_secs(30)).await;
        }
    }

    /// An immediate shutdown: no checkpoint, recovery at the next start.
    pub async fn crash(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.signal("QUIT");
            process.wait(Duration::from_secs(30)).await;
        }
    }

    fn url_of(&self, database: &str) -> String {
        format!("postgres://roost@127.0.0.1:{}/{database}", self.port)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(process) = &self.process {
            process.signal("QUIT");
        }
        self.process.take();
        let _ = fs::remove_dir_all(&self.data);
    }
}

/// The newest PostgreSQL on this machine: Debian's folders, then PATH.
fn binaries() -> PathBuf {
    let mut found: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .filter(|(_, bin)| bin.join("initdb").exists())
        .collect();
    found.sort();
    if let Some((_, bin)) = found.pop() {
        return bin;
    }
    std::env::var_os("PATH")
        .and_then(|path| std::env::split_paths(&path).find(|dir| dir.join("initdb").exists()))
        .expect("PostgreSQL 15 or newer (Debian: apt-get install postgresql)")
}

/// `Some` when this process is root, which PostgreSQL refuses to be.
fn postgres_user() -> Option<(u32, u32)> {
    if fs::metadata("/proc/self").ok()?.uid() != 0 {
        return None;
    }
    let passwd = fs::read_to_string("/etc/passwd").ok()?;
    let line = passwd.lines().find(|line| line.starts_with("postgres:"))?;
    let mut fields = line.split(':').skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

fn as_postgres(program: &Path) -> Command {
    let Some((uid, gid)) = postgres_user() else { return Command::new(program) };
    let mut command = Command::new("setpriv");
    command.args(["--reuid", &uid.to_string(), "--regid", &gid.to_string(), "--init-groups", "--"]).arg(program);
    command
}
