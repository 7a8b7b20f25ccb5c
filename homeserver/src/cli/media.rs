//! `roost media …`

use serde_json::json;

use super::{
    arguments::{MediaCommand, Place},
    open::{load, with_database},
    output::{Failure, print},
};
use crate::media;

pub(super) fn run(command: MediaCommand) -> Result<(), Failure> {
    match command {
        MediaCommand::Missing { place } => missing(&place),
        MediaCommand::Forget { id, place } => forget(&place, &id),
    }
}

fn missing(place: &Place) -> Result<(), Failure> {
    let folder = load(place)?.media_path();
    let missing = with_database(place, async |database, _| {
        media::missing_files(&database.pool, &folder).await.map_err(Failure::refused)
    })?;
    let text = if missing.is_empty() { "No file is missing.".to_owned() } else { missing.join("\n") };
    print(place.json, &missing, text)
}

fn forget(place: &Place, id: &str) -> Result<(), Failure> {
    let folder = load(place)?.media_path();
    let id = with_database(place, async |database, name| {
        let id = id.strip_prefix(&format!("mxc://{name}/")).unwrap_or(id);
        media::forget_lost(&database.pool, &folder, id).await.map_err(Failure::refused)?;
        Ok(id.to_owned())
    })?;
    print(place.json, &json!({ "forgotten": id }), format_args!("Forgot {id}."))
}
