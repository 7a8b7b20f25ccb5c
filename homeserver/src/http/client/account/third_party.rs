//! Third-party identifiers and networks and TURN servers: this server has none, and says so where clients ask.

use axum::http::StatusCode;
use serde_json::{Value, json};

use crate::{
    http::{ApiError, Json, Routes},
    users::Requester,
};

pub(super) fn routes() -> Routes {
    Routes::default()
        .v3("GET", "account/3pid", identifiers)
        .v3("POST", "account/3pid/add", no_identifiers)
        .v3("POST", "account/3pid/bind", no_identifiers)
        .v3("GET", "thirdparty/protocols", nothing)
        .v3("GET", "voip/turnServer", nothing)
}

async fn identifiers(_: Requester) -> Json<Value> {
    Json(json!({ "threepids": [] }))
}

async fn no_identifiers(_: Requester) -> ApiError {
    let message = "This server keeps no e-mail addresses and phone numbers.";
    ApiError::new(StatusCode::FORBIDDEN, "M_FORBIDDEN", message)
}

async fn nothing(_: Requester) -> Json<Value> {
    Json(json!({}))
}
