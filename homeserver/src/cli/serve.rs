//! `roost quickstart` and `roost serve`

use std::{
    fmt::Display,
    path::{Path, PathBuf},
};

use super::{
    Serve,
    output::{Failure, print},
};
use crate::config::{Config, Purpose, RegistrationMode};

pub(super) fn quickstart<E: Display>(serve: Serve<E>, data_dir: Option<&Path>) -> Result<(), Failure> {
    let config = Config::load(Purpose::Quickstart, None, data_dir).map_err(Failure::refused)?;
    let greet = |config: &Config, token: &str| {
        if let Err(failure) = print(false, &(), welcome(config, token, data_dir)) {
            failure.report(false);
        }
    };
    serve(config, Some(&greet)).map_err(Failure::refused)
}

pub(super) fn configured<E: Display>(serve: Serve<E>, file: &Path) -> Result<(), Failure> {
    let config = Config::load(Purpose::Serve, Some(file), None).map_err(Failure::refused)?;
    serve(config, None).map_err(Failure::refused)
}

/// What a newcomer needs next.
fn welcome(config: &Config, token: &str, data_dir: Option<&Path>) -> String {
    let (name, url, data) = (&config.server_name, config.public_url(), config.data_dir.display());
    let roost = program();
    let place = data_dir.map(|_| format!(" --data-dir {data}")).unwrap_or_default();
    let register = match config.registration.mode {
        RegistrationMode::Token => format!("with the registration token {token}"),
        RegistrationMode::Open => format!("freely (the registration token {token} is not asked for)"),
        RegistrationMode::Closed => "only on the command line: registration is closed".to_owned(),
    };
    format!(
        "\nRoost serves `{name}` at {url}\n\n  \
         client     in any Matrix client choose another homeserver and enter {url}\n  \
         accounts   are made in the client, {register}\n  \
         an admin   {roost} user add NAME --admin{place}\n  \
         data       {data}\n  \
         stop       Ctrl-C\n"
    )
}

/// How this program is called: by its name where that finds it, else by its path.
fn program() -> String {
    let path = std::env::current_exe().unwrap_or_else(|_| PathBuf::from("roost"));
    let search = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&search).map(|folder| folder.join("roost")).find(|program| program.is_file());
    let same = found.and_then(|program| program.canonicalize().ok()).is_some_and(|program| program == path);
    if same { "roost".to_owned() } else { path.display().to_string() }
}
