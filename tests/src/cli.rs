//! The `roost` command line, run to its end.
//!
//! **Invariant:** every call has a time limit; a command that waits for a terminal fails instead of hanging.

use std::{
    fmt::Display,
    io::Write as _,
    process::{Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::node::roost;

const LIMIT: Duration = Duration::from_secs(60);

/// `roost …` with the options that name a server (`--config FILE` or `--data-dir DIR`).
#[derive(Clone, Debug)]
pub struct Cli {
    options: Vec<String>,
    environment: Vec<(String, String)>,
}

/// What a command printed and how it ended.
#[derive(Debug)]
pub struct Printed {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Cli {
    #[must_use]
    pub fn with(options: &[&str]) -> Self {
        Self { options: options.iter().map(|&option| option.to_owned()).collect(), environment: Vec::new() }
    }

    /// With an environment variable more.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Runs `roost WORDS… OPTIONS…`.
    pub async fn run(&self, words: &[&str]) -> Printed {
        self.run_with_input(words, "").await
    }

    /// As [`Cli::run`], with text on standard input.
    ///
    /// # Panics
    /// If it still runs after a minute.
    pub async fn run_with_input(&self, words: &[&str], input: &str) -> Printed {
        let mut command = roost();
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.args(words).args(&self.options).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let shown = format!("roost {}", words.join(" "));
        let input = input.to_owned();
        tokio::task::spawn_blocking(move || {
            let mut child = command.spawn().expect("roost");
            let mut stdin = child.stdin.take().expect("standard input");
            // A command that does not read its input may close it first.
            let _ = stdin.write_all(input.as_bytes());
            drop(stdin);
            let begin = Instant::now();
            while child.try_wait().expect("wait").is_none() {
                if begin.elapsed() > LIMIT {
                    let _ = child.kill();
                    panic!("`{shown}` still runs after {LIMIT:?}");
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            Printed::from(child.wait_with_output().expect("output"))
        })
        .await
        .expect("the command's thread")
    }
}

impl From<Output> for Printed {
    fn from(output: Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr) }
    }
}

impl Printed {
    /// Standard output, of a command that must have succeeded.
    ///
    /// # Panics
    /// If it did not exit with 0.
    #[track_caller]
    #[must_use]
    pub fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "stdout: {}\nstderr: {}", self.out, self.err);
        self.out
    }

    /// Standard output as JSON (`--json`).
    ///
    /// # Panics
    /// If the command failed or printed something else.
    #[track_caller]
    #[must_use]
    pub fn json(self) -> Value {
        let out = self.ok();
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("not JSON ({error}): {out}"))
    }

    /// A command that must have been refused: exit code, and words that its message contains.
    ///
    /// # Panics
    /// If it ended otherwise.
    #[track_caller]
    pub fn refused(&self, code: i32, words: impl Display) {
        assert_eq!(self.code, Some(code), "stdout: {}\nstderr: {}", self.out, self.err);
        let words = words.to_string();
        assert!(self.err.contains(&words), "the message should contain {words:?}: {}", self.err);
    }
}
