//! The database that a command works on, with the server up or down.

use ruma::{OwnedServerName, ServerName};

use super::{arguments::Place, output::Failure};
use crate::{
    config::{Config, Purpose},
    storage::{Database, server},
    users::Users,
};

/// Opens the users of the server that `place` names, calls `work` with them, and closes everything again.
pub(super) fn with_users<T>(place: &Place, work: impl AsyncFnOnce(Users) -> Result<T, Failure>) -> Result<T, Failure> {
    with_database(place, async |database, name| work(Users::outside(&database.pool, &name)).await)
}

/// The configuration of the server that `place` names.
pub(super) fn load(place: &Place) -> Result<Config, Failure> {
    let config = match &place.config {
        Some(file) => Config::load(Purpose::Serve, Some(file), None),
        None => Config::load(Purpose::Quickstart, None, place.data_dir.as_deref()),
    };
    config.map_err(Failure::refused)
}

/// Runs a command's work; what goes wrong beside it is logged.
pub(super) fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    start_log();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::refused)?;
    runtime.block_on(work)
}

/// Opens the database of the server that `place` names, calls `work` with it and the server's name, and closes it again.
pub(super) fn with_database<T>(
    place: &Place,
    work: impl AsyncFnOnce(&Database, OwnedServerName) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let config = load(place)?;
    block_on(async {
        let database = Database::for_command(&config).await.map_err(Failure::refused)?;
        let done = match name(place, &config, &database).await {
            Ok(name) => work(&database, name).await,
            Err(failure) => Err(failure),
        };
        database.close().await;
        done
    })
}

/// A data folder knows its server's name; a configuration must agree with its database.
async fn name(place: &Place, config: &Config, database: &Database) -> Result<OwnedServerName, Failure> {
    let stored = server::stored_name(&database.pool).await.map_err(Failure::refused)?;
    let stored = stored.ok_or_else(|| Failure::refused("no server has run on this database yet"))?;
    if place.config.is_some() && stored != config.server_name.as_str() {
        let configured = &config.server_name;
        return Err(Failure::refused(format!(
            "the database belongs to the server `{stored}`, but `server_name` is `{configured}`"
        )));
    }
    ServerName::parse(stored).map_err(Failure::refused)
}

/// What goes wrong beside the command itself.
fn start_log() {
    let log = tracing_subscriber::fmt().with_writer(std::io::stderr).with_max_level(tracing::Level::WARN);
    if let Err(error) = log.try_init() {
        tracing::debug!(%error, "the log was started before");
    }
}
