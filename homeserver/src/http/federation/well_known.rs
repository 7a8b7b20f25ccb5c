//! `GET /.well-known/matrix/server`: where other servers reach this one, if not at its name.

use axum::extract::State;
use serde_json::{Value, json};

use crate::http::{ApiError, Json, Routes, Site};

pub(super) fn routes() -> Routes {
    Routes::default().at("GET", "/.well-known/matrix/server", well_known)
}

/// Nothing is there where the server is at its name: others then go on to its SRV record and port 8448.
async fn well_known(State(site): State<Site>) -> Result<Json<Value>, ApiError> {
    let delegate = site.delegate().ok_or_else(|| ApiError::not_found("This server is reached at its own name."))?;
    Ok(Json(json!({ "m.server": delegate })))
}
