//! `roost version`

use serde_json::json;

use super::{
    arguments::Place,
    output::{Failure, print},
};
use crate::storage::schema;

pub(super) fn run(place: &Place) -> Result<(), Failure> {
    let (version, schema) = (env!("CARGO_PKG_VERSION"), schema::known());
    print(
        place.json,
        &json!({ "version": version, "schema": schema }),
        format_args!("roost {version}, schema {schema}"),
    )
}
