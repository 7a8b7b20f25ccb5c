//! The command line. Exit codes: 0 done, 1 refused, 2 wrong usage.
//!
//! **Invariant:** a command parses, calls one domain function and prints; with `--json` it prints one JSON value.

mod arguments;
mod config;
mod output;
mod routes;
mod serve;

use std::process::ExitCode;

use clap::Parser;

use self::arguments::{Arguments, Command};
use crate::config::Config;

/// Runs a node until a signal ends it; calls back when it serves.
type Serve<E> = fn(Config, &dyn Fn(&Config)) -> Result<(), E>;

/// The program. `serve` is handed in, because what builds a node stands beside this room.
pub fn main<E: std::fmt::Display>(serve: Serve<E>) -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Quickstart(place) => serve::quickstart(serve, place.data_dir.as_deref()),
        Command::Serve { config } => serve::configured(serve, &config),
        Command::Config(command) => config::run(command),
        Command::Routes { json } => routes::run(json),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
