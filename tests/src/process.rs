//! One child process with its log, which can be killed, stopped and waited for.
//!
//! **Invariant:** a dropped [`Process`] has ended.

use std::{
    fs::{self, File, OpenOptions},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use crate::scratch;

/// How long a process gets to end by itself when it is dropped.
const PATIENCE: Duration = Duration::from_secs(10);

/// A running child. Its output goes to [`Process::log`], whose end is printed when a test fails.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
    ended: Option<ExitStatus>,
}

impl Process {
    /// Starts `command` with standard output and error appended to `log`.
    ///
    /// # Panics
    /// If it cannot be started.
    #[must_use]
    pub fn spawn(name: &str, mut command: Command, log: &Path) -> Self {
        let file = OpenOptions::new().create(true).append(true).open(log).expect("a log file");
        let error_file = file.try_clone().expect("a log file");
        let child = command
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(error_file)
            .spawn()
            .unwrap_or_else(|error| panic!("{name}: cannot start {:?}: {error}", command.get_program()));
        scratch::register(child.id());
        Self { name: name.to_owned(), child, log: log.to_owned(), ended: None }
    }

    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Everything logged so far.
    #[must_use]
    pub fn logged(&self) -> String {
        fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// The exit status, if it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none()
            && let Ok(Some(status)) = self.child.try_wait()
        {
            scratch::forget(self.child.id());
            self.ended = Some(status);
        }
        self.ended
    }

    /// SIGKILL; returns when the process is gone.
    pub fn kill(&mut self) {
        if self.ended().is_none() {
            let _ = self.child.kill();
            self.ended = self.child.wait().ok();
            scratch::forget(self.child.id());
        }
    }

    /// Sends a signal by name (`TERM`, `STOP`, `CONT`, …).
    pub fn signal(&self, name: &str) {
        let _ = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status();
    }

    /// SIGTERM; returns how long it took to end, and its status.
    ///
    /// # Panics
    /// If it still runs after `limit`.
    pub async fn terminate(&mut self, limit: Duration) -> (Duration, ExitStatus) {
        let begin = Instant::now();
        self.signal("TERM");
        let status = self.wait(limit).await;
        (begin.elapsed(), status)
    }

    /// Waits until it has ended by itself.
    ///
    /// # Panics
    /// If it still runs after `limit`.
    pub async fn wait(&mut self, limit: Duration) -> ExitStatus {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.ended() {
                return status;
            }
            assert!(begin.elapsed() < limit, "{} still runs after {limit:?}\n{}", self.name, tail(&self.log));
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if std::thread::panicking() {
            show(&self.name, &self.log);
        }
        if self.ended().is_some() {
            return;
        }
        self.signal("TERM");
        let begin = Instant::now();
        while self.ended().is_none() {
            if begin.elapsed() > PATIENCE {
                eprintln!("{}: did not end on SIGTERM, killed", self.name);
                self.kill();
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Prints the end of `log`, and has it kept.
pub fn show(name: &str, log: &Path) {
    scratch::keep_logs();
    eprintln!("---- {name}: {} ----\n{}", log.display(), tail(log));
}

/// The last lines of a log.
fn tail(log: &Path) -> String {
    use std::io::{Read as _, Seek as _, SeekFrom};
    const BYTES: u64 = 12_000;
    let mut text = Vec::new();
    if let Ok(mut file) = File::open(log) {
        let length = file.metadata().map_or(0, |m| m.len());
        let _ = file.seek(SeekFrom::Start(length.saturating_sub(BYTES)));
        let _ = file.read_to_end(&mut text);
    }
    String::from_utf8_lossy(&text).into_owned()
}
