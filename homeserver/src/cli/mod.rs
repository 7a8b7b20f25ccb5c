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

use self::{
    arguments::{Arguments, Command},
    output::Failure,
};

/// The program.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match dispatch(arguments.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

fn dispatch(command: Command) -> Result<(), Failure> {
    match command {
        Command::Quickstart(place) => serve::quickstart(place.data_dir.as_deref()),
        Command::Serve { config } => serve::serve(&config),
        Command::Config(command) => config::run(command),
        Command::Routes { json } => routes::run(json),
    }
}
