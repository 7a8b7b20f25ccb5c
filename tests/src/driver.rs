//! A foreign client: one driver process is one device. Its language stands in `tests/clients/README.md`.
//!
//! **Invariant:** what a driver reported is only added to, never edited: tests compare lists of what clients saw.

use std::{
    fs::OpenOptions,
    io::{BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{http::text, process, scratch};

/// How long one command may take.
const PATIENCE: Duration = Duration::from_secs(90);

/// Which program a driver is, and where it lies.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// The name of its folder under `tests/clients/`.
    pub folder: &'static str,
    /// The name of the program that is made there.
    pub name: &'static str,
    /// An environment variable that names the executable.
    pub variable: &'static str,
    /// Another way to sync than the library's usual one.
    pub sync: Option<&'static str>,
}

/// The Matrix Rust SDK, over `/sync`.
pub const MATRIX_SDK: Program =
    Program { folder: "matrix-sdk", name: "matrix-sdk", variable: "ROOST_CLIENT_MATRIX_SDK", sync: None };

/// The Matrix Rust SDK, over sliding sync.
pub const MATRIX_SDK_SLIDING: Program = Program { sync: Some("sliding"), ..MATRIX_SDK };

/// matrix-js-sdk, in Node.
pub const MATRIX_JS_SDK: Program =
    Program { folder: "matrix-js-sdk", name: "matrix-js-sdk", variable: "ROOST_CLIENT_MATRIX_JS_SDK", sync: None };

/// matrix-js-sdk, in a page in Chromium.
pub const BROWSER: Program =
    Program { folder: "matrix-js-sdk", name: "browser", variable: "ROOST_CLIENT_BROWSER", sync: None };

/// matrix-nio.
pub const MATRIX_NIO: Program =
    Program { folder: "matrix-nio", name: "matrix-nio", variable: "ROOST_CLIENT_MATRIX_NIO", sync: None };

impl Program {
    /// The named executable, or the one that the Makefile builds.
    fn path(self) -> PathBuf {
        if let Some(path) = std::env::var_os(self.variable) {
            return path.into();
        }
        let home = std::env::var_os("HOME").map_or_else(|| PathBuf::from("/root"), PathBuf::from);
        let cache = std::env::var_os("XDG_CACHE_HOME").map_or_else(|| home.join(".cache"), PathBuf::from);
        let path = cache.join(format!("roost/client-{}/release/roost-client-{}", self.folder, self.name));
        assert!(path.exists(), "{} is missing: build it first (make clients)", path.display());
        path
    }
}

#[derive(Default)]
struct Heard {
    answers: Vec<(u64, Result<Value, String>)>,
    reports: Vec<Value>,
    closed: bool,
}

/// A running driver.
pub struct Driver {
    name: String,
    child: Child,
    input: ChildStdin,
    next: AtomicU64,
    heard: Arc<Mutex<Heard>>,
    log: PathBuf,
}

impl std::fmt::Debug for Driver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Driver").field("name", &self.name).field("log", &self.log).finish_non_exhaustive()
    }
}

impl Driver {
    /// Starts a driver process that is not logged in yet.
    #[must_use]
    pub fn start(program: Program, name: &str) -> Self {
        let log = scratch::log(&format!("{}-{name}", program.name));
        let errors = OpenOptions::new().create(true).append(true).open(&log).expect("a log file");
        let mut child = Command::new(program.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .expect("the driver");
        scratch::register(child.id());
        let input = child.stdin.take().expect("the driver's input");
        let output = child.stdout.take().expect("the driver's output");
        let heard = Arc::new(Mutex::new(Heard::default()));
        let (listener, copy) = (Arc::clone(&heard), log.clone());
        std::thread::spawn(move || listen(BufReader::new(output), &listener, &copy));
        Self { name: name.to_owned(), child, input, next: AtomicU64::new(1), heard, log }
    }

    /// Sends a command without waiting for its answer.
    pub fn begin(&mut self, what: &str, mut arguments: Value) -> u64 {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        arguments["id"] = json!(id);
        arguments["do"] = json!(what);
        writeln!(self.input, "{arguments}").unwrap_or_else(|error| panic!("{}: {what}: {error}", self.name));
        id
    }

    /// Waits for the answer to command `id`.
    ///
    /// # Errors
    /// The driver's own words.
    pub async fn answer(&self, id: u64) -> Result<Value, String> {
        let begin = Instant::now();
        loop {
            {
                let mut heard = self.heard();
                if let Some(at) = heard.answers.iter().position(|(of, _)| *of == id) {
                    return heard.answers.swap_remove(at).1;
                }
                assert!(!heard.closed, "{}: the driver has ended", self.name);
            }
            assert!(begin.elapsed() < PATIENCE, "{}: no answer within {PATIENCE:?}", self.name);
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Sends a command and waits for its answer.
    ///
    /// # Errors
    /// The driver's own words.
    pub async fn attempt(&mut self, what: &str, arguments: Value) -> Result<Value, String> {
        let id = self.begin(what, arguments);
        self.answer(id).await
    }

    /// As [`Driver::attempt`], for a command that must succeed.
    ///
    /// # Panics
    /// With the driver's own words if it does not.
    pub async fn ask(&mut self, what: &str, arguments: Value) -> Value {
        match self.attempt(what, arguments).await {
            Ok(value) => value,
            Err(error) => panic!("{}: {what}: {error}", self.name),
        }
    }

    /// Sends a text and returns its event id.
    pub async fn say(&mut self, room: &str, body: &str) -> String {
        text(&self.ask("send_text", json!({ "room": room, "body": body })).await["event"])
    }

    /// Everything reported unasked under `key` (`saw`, `verification`, `sync_error`), oldest first.
    #[must_use]
    pub fn reports(&self, key: &str) -> Vec<Value> {
        self.heard().reports.iter().filter(|report| !report[key].is_null()).map(|report| report[key].clone()).collect()
    }

    /// The bodies of this kind (`text`, `edit`, …) that were seen in `room`, in order.
    #[must_use]
    pub fn saw(&self, room: &str, kind: &str) -> Vec<String> {
        self.reports("saw")
            .iter()
            .filter(|saw| saw["room"] == room && saw["kind"] == kind)
            .filter_map(|saw| saw["body"].as_str().map(str::to_owned))
            .collect()
    }

    /// Waits until reports satisfy `enough`.
    ///
    /// # Panics
    /// If they do not within `limit`.
    pub async fn until(&self, what: &str, limit: Duration, mut enough: impl FnMut(&Self) -> bool) {
        let begin = Instant::now();
        while !enough(self) {
            assert!(!self.heard().closed, "{}: the driver has ended", self.name);
            assert!(begin.elapsed() < limit, "{}: no {what} within {limit:?}", self.name);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Ends the process in good order.
    pub async fn shutdown(mut self) {
        let _ = self.attempt("shutdown", json!({})).await;
    }

    fn heard(&self) -> std::sync::MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        if std::thread::panicking() {
            process::show(&self.name, &self.log);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        scratch::forget(self.child.id());
    }
}

fn listen(lines: impl std::io::BufRead, heard: &Mutex<Heard>, log: &Path) {
    let mut copy = OpenOptions::new().append(true).open(log).ok();
    for line in lines.lines() {
        let Ok(line) = line else { break };
        if let Some(copy) = &mut copy {
            let _ = writeln!(copy, "{line}");
        }
        let Ok(value) = serde_json::from_str::<Value>(&line) else { continue };
        let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
        match (value["id"].as_u64(), value["error"].as_str()) {
            (Some(id), Some(error)) => heard.answers.push((id, Err(error.to_owned()))),
            (Some(id), None) => heard.answers.push((id, Ok(value["ok"].clone()))),
            (None, _) => heard.reports.push(value),
        }
    }
    heard.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
}
