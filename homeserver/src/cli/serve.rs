//! `roost quickstart` and `roost serve`

use std::path::Path;

use super::{
    Serve,
    output::{Failure, print},
};
use crate::config::{Config, Purpose};

pub(super) fn quickstart<E: std::fmt::Display>(serve: Serve<E>, data_dir: Option<&Path>) -> Result<(), Failure> {
    let config = Config::load(Purpose::Quickstart, None, data_dir).map_err(Failure::refused)?;
    let greet = |config: &Config| {
        if let Err(failure) = print(false, &(), welcome(config)) {
            failure.report();
        }
    };
    serve(config, &greet).map_err(Failure::refused)
}

pub(super) fn configured<E: std::fmt::Display>(serve: Serve<E>, file: &Path) -> Result<(), Failure> {
    let config = Config::load(Purpose::Serve, Some(file), None).map_err(Failure::refused)?;
    serve(config, &|_| {}).map_err(Failure::refused)
}

fn welcome(config: &Config) -> String {
    let (name, url, data) = (&config.server_name, config.public_url(), config.data_dir.display());
    format!("\nRoost serves `{name}` at {url}\n\n  data      {data}\n  stop      Ctrl-C\n")
}
