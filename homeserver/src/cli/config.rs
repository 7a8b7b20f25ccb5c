//! `roost config check|default`

use serde_json::json;

use super::{
    arguments::ConfigCommand,
    output::{Failure, print},
};
use crate::config::{Config, Purpose, template};

pub(super) fn run(command: ConfigCommand) -> Result<(), Failure> {
    match command {
        ConfigCommand::Default => print(false, &(), template().trim_end()),
        ConfigCommand::Check { config, json } => match Config::load(Purpose::Serve, Some(&config), None) {
            Ok(_) => print(json, &json!({ "valid": true }), format_args!("{}: valid", config.display())),
            Err(error) => {
                if json {
                    print(true, &json!({ "valid": false, "error": error.to_string() }), "")?;
                }
                Err(Failure::refused(error))
            }
        },
    }
}
