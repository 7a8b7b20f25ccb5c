//! `roost quickstart` and `roost serve`

use std::path::Path;

use super::output::{Failure, print};
use crate::{
    app::{self, Started},
    config::{Config, Purpose},
};

pub(super) fn quickstart(data_dir: Option<&Path>) -> Result<(), Failure> {
    let config = Config::load(Purpose::Quickstart, None, data_dir).map_err(Failure::refused)?;
    start(config, async |started| {
        if let Err(Failure::Refused(reason) | Failure::Usage(reason)) = print(false, &(), welcome(&started)) {
            tracing::warn!(reason, "can't greet");
        }
    })
}

pub(super) fn serve(file: &Path) -> Result<(), Failure> {
    let config = Config::load(Purpose::Serve, Some(file), None).map_err(Failure::refused)?;
    start(config, async |_| {})
}

fn start(config: Config, started: impl AsyncFnOnce(Started<'_>)) -> Result<(), Failure> {
    app::start_logging(&config.log).map_err(Failure::refused)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(Failure::refused)?;
    let ended = runtime.block_on(app::run(config, started)).map_err(Failure::refused);
    // What still runs was cut off: it must not hold the exit.
    runtime.shutdown_background();
    ended
}

fn welcome(started: &Started<'_>) -> String {
    let url = started.config.public_url();
    let data = started.config.data_dir.display();
    format!("\nRoost serves `{}` at {url}\n\n  data      {data}\n  stop      Ctrl-C\n", started.config.server_name)
}
