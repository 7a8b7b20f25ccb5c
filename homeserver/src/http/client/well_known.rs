//! `GET /.well-known/matrix/client`: where this server is, for clients that know its name alone.

use axum::extract::State;
use serde_json::{Value, json};

use crate::http::{Json, Routes, Site};

pub(super) fn routes() -> Routes {
    Routes::default().at("GET", "/.well-known/matrix/client", well_known)
}

async fn well_known(State(site): State<Site>) -> Json<Value> {
    Json(json!({ "m.homeserver": { "base_url": site.public_url() } }))
}
