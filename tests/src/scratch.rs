//! Temp folders and the janitor.
//!
//! All files of one test process lie under one folder. A small shell process, the janitor, holds the reading end of a
//! pipe: when this process ends, in whatever way, the janitor stops every process that is still registered and
//! removes the folder. After a failure the logs are kept.
//!
//! **Invariant:** nothing that a test starts survives the test process.

use std::{
    fs,
    io::Write as _,
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        LazyLock, Mutex,
        atomic::{AtomicU32, Ordering},
    },
};

/// Reads `pid N`, `gone N` and `keep` until the pipe closes; then cleans up below `$1`.
const JANITOR: &str = r#"
trap '' INT TERM HUP
pids=" "; keep=
while read -r word value; do
    case $word in
        pid) pids="$pids$value " ;;
        gone) pids=$(printf '%s' "$pids" | sed "s/ $value / /") ;;
        keep) keep=1 ;;
    esac
done
for pid in $pids; do kill -TERM "$pid" 2>/dev/null; done
for _ in $(seq 40); do
    alive=
    for pid in $pids; do kill -0 "$pid" 2>/dev/null && alive=1; done
    [ -n "$alive" ] || break
    sleep 0.2
done
for pid in $pids; do kill -KILL "$pid" 2>/dev/null; done
# A private PostgreSQL whose server was killed is nobody's child any more.
for file in "$1"/*/postgres/postmaster.pid "$1"/*/postgres/*/postmaster.pid; do
    [ -f "$file" ] && kill -QUIT "$(head -n 1 "$file")" 2>/dev/null
done
sleep 0.3
if [ -n "$keep" ]; then
    find "$1" -mindepth 1 -maxdepth 1 ! -name logs -exec rm -rf {} +
else
    rm -rf "$1"
fi
"#;

/// It ends after this process, so nobody waits for it.
static JANITOR_PROCESS: LazyLock<Mutex<Child>> = LazyLock::new(|| {
    let janitor = Command::new("sh")
        .args(["-c", JANITOR, "janitor"])
        .arg(root())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .expect("sh, for the janitor");
    Mutex::new(janitor)
});

/// The folder of this test process: readable by every user, because PostgreSQL may run as another one.
pub fn root() -> &'static Path {
    static ROOT: LazyLock<PathBuf> = LazyLock::new(|| {
        let root = std::env::temp_dir().join(format!("roost-e2e.{}", std::process::id()));
        fs::create_dir_all(root.join("logs")).expect("a temp folder");
        for dir in [root.clone(), root.join("logs")] {
            fs::set_permissions(dir, fs::Permissions::from_mode(0o755)).expect("a readable temp folder");
        }
        root
    });
    &ROOT
}

/// A path below [`root`] that nobody else uses; nothing is created there.
#[must_use]
pub fn path(name: &str) -> PathBuf {
    root().join(numbered(name))
}

/// A new folder below [`root`].
#[must_use]
pub fn dir(name: &str) -> PathBuf {
    let dir = path(name);
    fs::create_dir(&dir).expect("a temp folder");
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).expect("a readable temp folder");
    dir
}

/// A new log file's path.
#[must_use]
pub fn log(name: &str) -> PathBuf {
    root().join("logs").join(format!("{}.log", numbered(name)))
}

/// `name.N`, unique in this process.
#[must_use]
pub fn numbered(name: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    format!("{name}.{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A user or alias name that no other test takes, not even one of another run against the same server.
#[must_use]
pub fn name(stem: &str) -> String {
    format!("{}-{}", numbered(stem).replace('.', "-"), std::process::id())
}

/// The janitor stops `pid` when this process ends first.
pub fn register(pid: u32) {
    tell(&format!("pid {pid}"));
}

/// `pid` has ended and was reaped: its number may name a stranger from now on.
pub fn forget(pid: u32) {
    tell(&format!("gone {pid}"));
}

/// Logs stay after the end of this process.
pub fn keep_logs() {
    tell("keep");
}

fn tell(line: &str) {
    let mut janitor = JANITOR_PROCESS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    // A janitor that someone killed must not fail a test.
    let _ = janitor.stdin.as_mut().map(|pipe| writeln!(pipe, "{line}"));
}
