//! `roost config check|default`

use serde_json::json;

use super::{
    arguments::{ConfigCommand, Place},
    open::load,
    output::{Failure, print},
};
use crate::config::{described, template};

pub(super) fn run(command: ConfigCommand) -> Result<(), Failure> {
    match command {
        ConfigCommand::Default { place } if place.json => print(true, &described().map_err(Failure::refused)?, ""),
        ConfigCommand::Default { .. } => print(false, &(), template().trim_end()),
        ConfigCommand::Check { place } => check(&place),
    }
}

fn check(place: &Place) -> Result<(), Failure> {
    match load(place) {
        Ok(config) => {
            let data = config.data_dir.display();
            let checked = place.config.as_ref().map_or_else(|| data.to_string(), |file| file.display().to_string());
            print(place.json, &json!({ "valid": true }), format_args!("{checked}: valid"))
        }
        Err(failure) => {
            if place.json {
                let (Failure::Refused(error) | Failure::Incomplete(error) | Failure::Usage(error)) = &failure;
                print(true, &json!({ "valid": false, "error": error }), "")?;
            }
            Err(failure)
        }
    }
}
