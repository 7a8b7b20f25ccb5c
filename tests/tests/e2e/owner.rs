//! Whose server it is: a command finds the server or says that there is none, root acts as the folder's owner, and nobody
//! else reads what users uploaded.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use roost_tests::{
    Server, User,
    cli::Cli,
    node::{binary, plain, wait_ready},
    port,
    postgres::Postgres,
    process::Process,
    scratch, turn,
};

/// A user without a name of their own anywhere: Debian's `nobody`.
const NOBODY: u32 = 65_534;
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_finds_no_server_says_so_and_makes_none() {
    let _turn = turn::shared().await;
    let (missing, empty) = (scratch::path("missing"), scratch::dir("empty"));
    let backup = scratch::path("nothing.tar");
    let backup_name = backup.to_string_lossy().into_owned();
    let commands: [&[&str]; 9] = [
        &["user", "list"],
        &["user", "lock", "alice"],
        &["user", "password", "alice", "--password-stdin"],
        &["user", "deactivate", "alice"],
        &["user", "add", "alice", "--password-stdin"],
        &["token", "list"],
        &["token", "add"],
        &["log", "debug"],
        &["backup", &backup_name],
    ];
    for folder in [&missing, &empty] {
        let cli = Cli::with(&["--data-dir", &folder.to_string_lossy()]);
        for words in commands {
            cli.run_with_input(words, "a fine password\n").await.refused(1, "there is no server in");
        }
    }
    let refused = Cli::with(&["--data-dir", &missing.to_string_lossy()]).run(&["user", "list", "--json"]).await;
    let refused: serde_json::Value = serde_json::from_str(&refused.err).expect("a refusal in JSON");
    assert!(refused["error"].as_str().is_some_and(|it| it.contains("there is no server in")), "{refused}");
    assert!(!missing.exists(), "no folder is left behind");
    assert_eq!(fs::read_dir(&empty).unwrap().count(), 0, "nor anything in one");

    let postgres = Postgres::start().await;
    let config = scratch::path("roost.toml");
    let text = format!("server_name = \"a.example\"\n[database]\nurl = \"{}\"\n", postgres.url());
    fs::write(&config, text).unwrap();
    let cli = Cli::with(&["--config", &config.to_string_lossy()]);
    for words in commands {
        cli.run_with_input(words, "a fine password\n").await.refused(1, "there is no server in");
    }
    let tables = postgres.number("select count(*) from pg_class where relnamespace = 'public'::regnamespace").await;
    assert_eq!(tables, 0, "an empty database stays empty");
    assert!(!backup.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unit_s_data_lie_where_systemd_says() {
    let _turn = turn::shared().await;
    let (state, home) = (scratch::path("state"), scratch::dir("home"));
    let (config, port) = (scratch::path("roost.toml"), port::free());
    let text = format!("server_name = \"a.example\"\n[http]\nlisten = [\"127.0.0.1:{port}\"]\n");
    fs::write(&config, text).unwrap();
    let mut command = plain(&binary());
    command.args(["serve", "--config"]).arg(&config).env("HOME", &home).env("STATE_DIRECTORY", &state);
    let mut process = Process::spawn("unit", command, &scratch::log("unit"));
    wait_ready(&format!("http://127.0.0.1:{port}"), &mut process, PATIENCE).await;
    assert!(state.join("postgres").exists() && state.join("media").exists());
    let cli = Cli::with(&["--config", &config.to_string_lossy()]).env("STATE_DIRECTORY", &state.to_string_lossy());
    assert!(cli.run(&["user", "list"]).await.ok().contains("No accounts"));
    assert_eq!(fs::read_dir(&home).unwrap().count(), 0, "nothing lies at home");
}

#[tokio::test(flavor = "multi_thread")]
async fn root_acts_as_the_folder_s_owner_and_nobody_else_reads_uploads() {
    let _turn = turn::shared().await;
    let folder = |name: &str| {
        let folder = scratch::dir(name);
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        give(&folder);
        folder
    };
    let data = folder("owned");
    let mut served = Served::start(&data).await;
    let alice = served.server.user("alice").await;
    upload(&alice).await;
    served.stop().await;
    closed(&data.join("media"));

    // With the server down, root's command starts its PostgreSQL and its lock anew.
    fs::remove_file(data.join("roost.lock")).unwrap();
    fs::remove_file(data.join("postgres.log")).unwrap();
    let cli = Cli::with(&["--data-dir", &data.to_string_lossy()]);
    let _ = cli.run_with_input(&["user", "add", "bob", "--password-stdin"], "a fine password\n").await.ok();
    let backup = scratch::path("owned.tar");
    let _ = cli.run(&["backup", &backup.to_string_lossy()]).await.ok();
    // A refused one, too.
    cli.run(&["user", "lock", "nobody-of-that-name"]).await.refused(1, "nobody-of-that-name");
    assert_eq!(strangers(&data), Vec::<PathBuf>::new());
    let mut served = Served::start(&data).await;
    let _ = served.server.login("bob", "a fine password", None).await.ok();
    served.stop().await;

    let restored = folder("restored");
    let cli = Cli::with(&["--data-dir", &restored.to_string_lossy()]);
    let _ = cli.run(&["restore", &backup.to_string_lossy()]).await.ok();
    assert_eq!(strangers(&restored), Vec::<PathBuf>::new());
    closed(&restored.join("media"));
    let mut served = Served::start(&restored).await;
    upload(&alice.on(&served.server)).await;
    served.stop().await;
    closed(&restored.join("media"));

    // What an earlier version left open is closed.
    fs::set_permissions(restored.join("media"), fs::Permissions::from_mode(0o755)).unwrap();
    let mut served = Served::start(&restored).await;
    served.stop().await;
    closed(&restored.join("media"));
}

/// A quickstart of somebody who is not root, wherever there is somebody else.
struct Served {
    server: Server,
    process: Process,
}

impl Served {
    async fn start(data: &Path) -> Self {
        let port = port::free();
        let mut command = plain(Path::new("sh"));
        // The umask under which most people work.
        command.args(["-c", "umask 022; exec \"$@\"", "sh"]);
        if is_root() {
            let id = NOBODY.to_string();
            command.args(["setpriv", "--reuid", &id, "--regid", &id, "--clear-groups", "--"]);
        }
        command.arg(program()).args(["quickstart", "--data-dir"]).arg(data);
        command.env("ROOST_HTTP__LISTEN", format!("[\"127.0.0.1:{port}\"]"));
        command.env("ROOST_REGISTRATION__MODE", "open").env("ROOST_RATE_LIMITS__ENABLED", "false");
        let base = format!("http://127.0.0.1:{port}");
        let mut process = Process::spawn("owned", command, &scratch::log("owned"));
        wait_ready(&base, &mut process, PATIENCE).await;
        Self { server: Server::at(&base), process }
    }

    async fn stop(&mut self) {
        let (_, status) = self.process.terminate(Duration::from_secs(30)).await;
        assert!(status.success(), "{}", self.process.logged());
    }
}

/// The program where everybody may run it.
fn program() -> PathBuf {
    let path = scratch::root().join("roost");
    if !path.exists() {
        fs::copy(binary(), &path).unwrap();
        let _ = Command::new("chmod").arg("a+x").arg(scratch::root()).status();
    }
    path
}

fn is_root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

fn give(path: &Path) {
    if is_root() {
        chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
}

async fn upload(user: &User) {
    let body = Some(("text/plain", b"for friends".to_vec()));
    let reply = user.server.try_bytes("POST", "/_matrix/media/v3/upload", Some(&user.token), body).await;
    let _ = reply.expect("an answer").ok();
}

/// Everything in and below `folder`.
fn all(folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![folder.to_owned()];
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.file_type().unwrap().is_dir() {
            true => found.extend(all(&entry.path())),
            false => found.push(entry.path()),
        }
    }
    found
}

/// What belongs to somebody else than the folder.
fn strangers(folder: &Path) -> Vec<PathBuf> {
    let owner = fs::metadata(folder).unwrap().uid();
    all(folder).into_iter().filter(|path| fs::symlink_metadata(path).unwrap().uid() != owner).collect()
}

/// Folders 0700, files 0600.
fn closed(folder: &Path) {
    let paths = all(folder);
    assert!(paths.iter().filter(|path| path.is_file()).count() > 1, "{paths:?}");
    for path in paths {
        let found = fs::metadata(&path).unwrap();
        let wanted = if found.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(found.permissions().mode() & 0o777, wanted, "{}", path.display());
    }
}
