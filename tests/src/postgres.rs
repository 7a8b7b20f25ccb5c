//! A PostgreSQL server of the harness's own, for nodes that share one.
//!
//! **Invariant:** `fsync` and `synchronous_commit` are on, as they are for users.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process::{Command, Stdio},
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
    superuser: &'static str,
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

    /// As a distribution's package leaves it: the superuser `postgres`, whom this machine trusts, and nobody else; others need a
    /// password.
    pub async fn start_bare() -> Self {
        let hba = "host all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n";
        Self::make_as("postgres", &[], &[("pg_hba.conf", hba)]).await
    }

    /// `files` lie in the cluster's folder.
    async fn make(settings: &[&str], files: &[(&str, &str)]) -> Self {
        let postgres = Self::make_as("roost", settings, files).await;
        let mut admin = PgConnection::connect(&postgres.url_of("postgres")).await.expect("connection");
        sqlx::query("CREATE DATABASE roost").execute(&mut admin).await.expect("CREATE DATABASE");
        postgres
    }

    async fn make_as(superuser: &'static str, settings: &[&str], files: &[(&str, &str)]) -> Self {
        let bin = binaries();
        let data = scratch::dir("pg");
        if let Some((uid, gid)) = postgres_user() {
            chown(&data, Some(uid), Some(gid)).expect("chown of the cluster's folder");
        }
        let done = as_postgres(&bin.join("initdb"))
            .arg("--pgdata")
            .arg(&data)
            .arg(format!("--username={superuser}"))
            .args(["--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"])
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
        let mut postgres = Self { bin, data, log, port, superuser, settings, process: None };
        postgres.up().await;
        postgres
    }

    /// A streaming standby of `primary`, which has all that the primary has.
    pub async fn standby_of(primary: &Self) -> Self {
        let data = scratch::dir("standby");
        fs::set_permissions(&data, fs::Permissions::from_mode(0o700)).expect("chmod");
        if let Some((uid, gid)) = postgres_user() {
            chown(&data, Some(uid), Some(gid)).expect("chown of the standby's folder");
        }
        let done = as_postgres(&primary.bin.join("pg_basebackup"))
            .args(["--host=127.0.0.1", "--wal-method=stream", "--write-recovery-conf", "--checkpoint=fast"])
            .arg(format!("--port={}", primary.port))
            .arg(format!("--username={}", primary.superuser))
            .arg("--pgdata")
            .arg(&data)
            .output()
            .expect("pg_basebackup");
        assert!(done.status.success(), "pg_basebackup: {}", String::from_utf8_lossy(&done.stderr));
        let (log, port, settings) = (scratch::log("standby"), port::free(), primary.settings.clone());
        let (bin, superuser) = (primary.bin.clone(), primary.superuser);
        let mut standby = Self { bin, data, log, port, superuser, settings, process: None };
        standby.up().await;
        standby
    }

    /// Waits until this standby has applied all that `primary` has written.
    pub async fn catch_up(&self, primary: &Self) {
        let sent = primary.text("SELECT pg_current_wal_lsn()::text").await;
        let begin = Instant::now();
        let mut connection = self.connect().await;
        let reached = "SELECT pg_last_wal_replay_lsn() >= $1::pg_lsn";
        while !sqlx::query_scalar::<_, bool>(reached).bind(&sent).fetch_one(&mut connection).await.expect(reached) {
            assert!(begin.elapsed() < Duration::from_secs(30), "the standby stays behind");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Has this standby take no more from its primary.
    pub async fn detach(&self) {
        let mut connection = self.connect().await;
        for sql in ["ALTER SYSTEM SET primary_conninfo = ''", "SELECT pg_reload_conf()"] {
            sqlx::query(sql).execute(&mut connection).await.expect(sql);
        }
        let begin = Instant::now();
        while self.number("SELECT count(*) FROM pg_stat_wal_receiver").await > 0 {
            assert!(begin.elapsed() < Duration::from_secs(30), "the standby still receives");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Promotes this standby, at the address of the primary that it takes the place of.
    pub async fn promote(&mut self, lost: &mut Self) {
        lost.crash().await;
        sqlx::query("SELECT pg_promote()").execute(&mut self.connect().await).await.expect("pg_promote");
        self.stop().await;
        std::mem::swap(&mut self.port, &mut lost.port);
        self.up().await;
    }

    /// Where it listens, and where its programs lie.
    #[must_use]
    pub fn place(&self) -> (u16, &Path) {
        (self.port, &self.bin)
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

    /// One text out of the database.
    pub async fn text(&self, sql: &'static str) -> String {
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

    /// SIGSTOP to all of its processes: whoever is connected waits, and so does whoever connects.
    pub fn freeze(&self) {
        self.signal_all("STOP");
    }

    /// SIGCONT: what was asked meanwhile is done now.
    pub fn thaw(&self) {
        self.signal_all("CONT");
    }

    /// Ends every connection of the nodes.
    pub async fn cut(&self) {
        let mut outside = PgConnection::connect(&self.url_of("postgres")).await.expect("connection");
        let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = 'roost'";
        sqlx::query(cut).execute(&mut outside).await.expect("pg_terminate_backend");
    }

    /// The postmaster first: it would notice what becomes of its children.
    fn signal_all(&self, signal: &str) {
        let Some(process) = &self.process else { return };
        process.signal(signal);
        for child in children(process.pid()) {
            // Some have just ended.
            let _ =
                Command::new("kill").arg(format!("-{signal}")).arg(child.to_string()).stderr(Stdio::null()).status();
        }
    }

    fn url_of(&self, database: &str) -> String {
        format!("postgres://{}@127.0.0.1:{}/{database}", self.superuser, self.port)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(process) = &self.process {
            self.signal_all("CONT");
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

/// The processes that `parent` has started.
fn children(parent: u32) -> Vec<u32> {
    let started_by = |pid: u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // "pid (name) state parent …", and the name may hold anything.
        stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse::<u32>().ok()
    };
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| started_by(*pid) == Some(parent))
        .collect()
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
