//! `/keys/…`

mod changes;
mod claim;
mod cross_signing;
mod query;
mod signatures;
mod upload;

use crate::http::Routes;

pub(super) fn routes() -> Routes {
    Routes::default()
        .v3("POST", "keys/upload", upload::upload)
        .v3("POST", "keys/query", query::query)
        .v3("GET", "keys/changes", changes::changes)
        .v3("POST", "keys/claim", claim::claim)
        .v3("POST", "keys/device_signing/upload", cross_signing::upload)
        .at("POST", "/_matrix/client/unstable/keys/device_signing/upload", cross_signing::upload)
        .v3("POST", "keys/signatures/upload", signatures::upload)
        .at("POST", "/_matrix/client/unstable/keys/signatures/upload", signatures::upload)
}

/// Servers that could not be asked, as `failures` shows them.
fn failures(servers: Vec<ruma::OwnedServerName>) -> serde_json::Map<String, serde_json::Value> {
    let why = serde_json::json!({"errcode": "M_UNKNOWN", "error": "This server can't reach it."});
    servers.into_iter().map(|server| (server.to_string(), why.clone())).collect()
}
