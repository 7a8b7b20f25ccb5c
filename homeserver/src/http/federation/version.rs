//! `GET /_matrix/federation/v1/version`

use serde_json::{Value, json};

use crate::http::{Json, Routes};

pub(super) fn routes() -> Routes {
    Routes::default().at("GET", "/_matrix/federation/v1/version", version)
}

async fn version() -> Json<Value> {
    Json(json!({ "server": { "name": "Roost", "version": env!("CARGO_PKG_VERSION") } }))
}
