//! `roost log`

use serde_json::json;

use super::{
    arguments::Place,
    open::with_database,
    output::{Failure, print},
};
use crate::{
    config::is_log_level,
    log::{Notice, Writes, outside},
    storage::server,
};

pub(super) fn run(place: &Place, level: &str) -> Result<(), Failure> {
    let level = (level != "default").then_some(level);
    if let Some(level) = level.filter(|level| !is_log_level(level)) {
        return Err(Failure::Usage(format!(
            "{level:?} is no level of the log: try \"debug\" or \"info,roost::sync=debug\""
        )));
    }
    with_database(place, async |database, _| {
        server::set_log_level(&database.pool, level).await.map_err(Failure::refused)?;
        let told = Writes { notices: vec![Notice::Settings], ..Writes::default() };
        outside(&database.pool, told).await.map_err(Failure::refused)
    })?;
    let said =
        level.map_or_else(|| "All nodes log as configured.".to_owned(), |level| format!("All nodes log at {level}."));
    print(place.json, &json!({ "log_level": level }), said)
}
