//! `/health/live` and `/health/ready`: for load balancers and for people who wonder.

use std::time::Duration;

use axum::{
    Router,
    extract::{Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use serde::Serialize;
use tokio::{sync::watch, time::timeout};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::{ApiError, Json, Routes};
use crate::{bell::Bell, log::Log, media::Media, storage::disk};

/// The database must answer a readiness probe within this.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long a request waits for a node that starts.
const START_PATIENCE: Duration = Duration::from_secs(5);

/// What readiness depends on.
#[derive(Clone)]
pub struct Health {
    pub log: Log,
    pub bell: Bell,
    pub media: Media,
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

/// What is served before a node is built: it lives and is not ready. All else waits for what is `built`, because a proxy would
/// pass a refusal on where another node, or this one in a moment, answers.
pub fn starting_router(built: watch::Receiver<Option<Router>>) -> Router {
    let pass_on = move |request: Request| {
        let mut built = built.clone();
        async move {
            let router = timeout(START_PATIENCE, built.wait_for(Option::is_some)).await;
            match router.ok().and_then(Result::ok).and_then(|router| router.clone()) {
                Some(router) => router.oneshot(request).await.into_response(),
                None => ApiError::unavailable("The server is starting. Please try again soon.").into_response(),
            }
        }
    };
    Router::new().route("/health/live", get(live)).route("/health/ready", get(starting)).fallback(pass_on)
}

async fn starting() -> Response {
    let reason = Some("this node is starting: its database has not answered yet".to_owned());
    not_ready(Report { ready: false, database: "down", bell: "down", reason })
}

/// The process runs and answers: nothing more.
async fn live() -> Response {
    Json(serde_json::json!({ "live": true })).into_response()
}

/// 200 when requests would be served; else 503 with the reason in words.
async fn ready(State(health): State<Health>) -> Response {
    let full = disk::is_full().then(|| "the database's disk is full".to_owned());
    let database = match timeout(PATIENCE, health.log.fresh()).await {
        Ok(Ok(())) => health.log.is_away().then(|| "the database was away and takes no writes yet".to_owned()),
        Ok(Err(error)) => Some(error.to_string()),
        Err(_) => Some(format!("the database did not answer within {} s", PATIENCE.as_secs())),
    };
    let up = |trouble: bool| if trouble { "down" } else { "up" };
    let (database_is_down, media) = (database.is_some(), health.media.unready());
    let draining = health.draining.is_cancelled().then(|| "this node is going down".to_owned());
    let reason = draining.or(full).or(database).or(media);
    let report = Report {
        ready: reason.is_none(),
        database: up(database_is_down),
        // A bell that is down slows news between nodes; every node still serves.
        bell: up(!health.bell.is_up()),
        reason,
    };
    if report.ready {
        return Json(report).into_response();
    }
    not_ready(report)
}

fn not_ready(report: Report) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "2")], Json(report)).into_response()
}
