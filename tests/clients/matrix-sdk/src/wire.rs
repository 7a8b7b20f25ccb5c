//! Lines in and out.
//!
//! **Invariant:** a line is written under the lock of standard output, so two never mix.

use std::io::Write as _;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

/// Answers `command` with its result.
pub fn answer(command: &Value, result: Result<Value>) {
    write(&match result {
        Ok(value) => json!({ "id": command["id"], "ok": value }),
        Err(error) => json!({ "id": command["id"], "error": format!("{error:#}") }),
    });
}

/// Reports something that nobody asked for.
pub fn report(key: &str, value: Value) {
    write(&json!({ key: value }));
}

/// A required text argument.
pub fn text<'a>(arguments: &'a Value, name: &str) -> Result<&'a str> {
    arguments[name].as_str().with_context(|| format!("the argument {name:?} is missing"))
}

fn write(line: &Value) {
    let mut out = std::io::stdout().lock();
    // The reader is gone: input will end too.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
