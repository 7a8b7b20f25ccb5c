//! `/health/live` and `/health/ready`: for load balancers and for people who wonder.

use std::time::Duration;

use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::{Json, Routes};
use crate::{bell::Bell, log::Log};

/// The database must answer a readiness probe within this.
const PATIENCE: Duration = Duration::from_secs(2);

/// What readiness depends on.
#[derive(Clone)]
pub struct Health {
    pub log: Log,
    pub bell: Bell,
    /// Cancelled when the node begins to go down.
    pub draining: CancellationToken,
}

#[derive(Serialize)]
struct Report {
    ready: bool,
    database: &'static str,
    bell: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

pub(super) fn routes() -> Routes {
    Routes::default().at("GET", "/health/live", live).at("GET", "/health/ready", ready)
}

/// The process runs and answers: nothing more.
async fn live() -> Response {
    Json(serde_json::json!({ "live": true })).into_response()
}

/// 200 when requests would be served; else 503 with the reason in words.
async fn ready(State(health): State<Health>) -> Response {
    let reason = if health.draining.is_cancelled() {
        Some("this node is going down".to_owned())
    } else {
        match tokio::time::timeout(PATIENCE, health.log.fresh()).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some(format!("the database did not answer within {} s", PATIENCE.as_secs())),
        }
    };
    let report = Report {
        ready: reason.is_none(),
        database: if reason.is_none() || health.draining.is_cancelled() { "up" } else { "down" },
        // A bell that is down slows news between nodes; every node still serves.
        bell: if health.bell.is_up() { "up" } else { "down" },
        reason,
    };
    if report.ready {
        return Json(report).into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "2")], Json(report)).into_response()
}
