//! How commands speak: text or one JSON value on standard output, refusals on standard error, in the same notation.

use std::{
    fmt::Display,
    io::{self, Write},
    process::ExitCode,
};

use serde::Serialize;
use serde_json::json;

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub(super) enum Failure {
    /// Understood, and refused.
    Refused(String),
    /// Done, and something is missing.
    Incomplete(String),
    /// Not understood.
    Usage(String),
}

impl Failure {
    pub fn refused(reason: impl Display) -> Self {
        Self::Refused(reason.to_string())
    }

    /// `json`: as an object with the reason as `error`.
    pub fn report(self, json: bool) -> ExitCode {
        let (reason, code) = match self {
            Self::Refused(reason) => (reason, 1),
            Self::Incomplete(reason) => (reason, 3),
            Self::Usage(reason) => (reason, 2),
        };
        // Nobody may be listening any more.
        let _ = match json {
            true => writeln!(io::stderr(), "{}", json!({ "error": reason, "exit": code })),
            false => writeln!(io::stderr(), "roost: {reason}"),
        };
        ExitCode::from(code)
    }
}

/// Prints text, or the value as JSON. A reader that left early (`| head`) is no error.
pub(super) fn print(json: bool, value: &impl Serialize, text: impl Display) -> Result<(), Failure> {
    let written = if json {
        let json = serde_json::to_string(value).map_err(Failure::refused)?;
        writeln!(io::stdout(), "{json}")
    } else {
        writeln!(io::stdout(), "{text}")
    };
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::refused(error)),
        _ => Ok(()),
    }
}
