//! The command line. Exit codes: 0 done, 1 refused, 2 wrong usage, 3 done, and something is missing.
//!
//! **Invariant:** a command parses, calls one domain function and prints; with `--json` it prints one JSON value.

mod arguments;
mod backup;
mod config;
mod doctor;
mod log;
mod media;
mod open;
mod output;
mod password;
mod routes;
mod serve;
mod token;
mod user;
mod version;

use std::process::ExitCode;

use clap::Parser;

use self::arguments::{Arguments, Command};
use crate::config::Config;

/// Told once, when requests are served: the configuration and the registration token that stays the same.
type Greet<'a> = &'a dyn Fn(&Config, &str);

/// Runs a node until a signal ends it.
type Serve<E> = fn(Config, Option<Greet<'_>>) -> Result<(), E>;

/// The program. `serve` is handed in, because what builds a node stands beside this room.
pub fn main<E: std::fmt::Display>(serve: Serve<E>) -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Quickstart(place) => serve::quickstart(serve, place.data_dir.as_deref()),
        Command::Serve { config } => serve::configured(serve, &config),
        Command::User(command) => user::run(command),
        Command::Token(command) => token::run(command),
        Command::Media(command) => media::run(command),
        Command::Config(command) => config::run(command),
        Command::Backup { file, place } => backup::write(&place, &file),
        Command::Restore { file, place } => backup::restore(&place, &file),
        Command::Doctor { place } => doctor::run(&place),
        Command::Log { level, place } => log::run(&place, &level),
        Command::Version { place } => version::run(&place),
        Command::Routes { place } => routes::run(&place),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(std::env::args_os().any(|word| word == "--json")),
    }
}
