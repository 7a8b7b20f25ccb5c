//! `roost version`

use serde_json::json;

use super::output::{Failure, print};
use crate::storage::schema;

pub(super) fn run(json: bool) -> Result<(), Failure> {
    let (version, schema) = (env!("CARGO_PKG_VERSION"), schema::known());
    print(json, &json!({ "version": version, "schema": schema }), format_args!("roost {version}, schema {schema}"))
}
