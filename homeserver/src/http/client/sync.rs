//! `GET /sync`

use std::time::Duration;

use axum::{
    extract::State,
    http::header::CONTENT_TYPE,
    response::{IntoResponse, Response},
};
use serde::Deserialize;

use crate::{
    http::{ApiError, Query, Routes, auth::while_allowed},
    presence,
    sync::{FilterError, Request, StateAfter, Sync, SyncError},
    users::{Requester, Users},
};

pub(super) fn routes() -> Routes {
    Routes::default().v3("GET", "sync", sync)
}

#[derive(Debug, Deserialize)]
struct Parameters {
    since: Option<String>,
    filter: Option<String>,
    #[serde(default)]
    full_state: bool,
    /// Milliseconds.
    #[serde(default)]
    timeout: u64,
    #[serde(default)]
    use_state_after: bool,
    #[serde(default, rename = "org.matrix.msc4222.use_state_after")]
    unstable_use_state_after: bool,
    set_presence: Option<presence::State>,
}

/// `GET /_matrix/client/v3/sync`
async fn sync(
    State(sync): State<Sync>,
    State(users): State<Users>,
    requester: Requester,
    Query(parameters): Query<Parameters>,
) -> Result<Response, ApiError> {
    let state_after = match (parameters.use_state_after, parameters.unstable_use_state_after) {
        (true, _) => StateAfter::Stable,
        (false, true) => StateAfter::Unstable,
        (false, false) => StateAfter::No,
    };
    let request = Request {
        since: parameters.since,
        filter: parameters.filter.filter(|filter| !filter.is_empty()),
        full_state: parameters.full_state,
        timeout: Duration::from_millis(parameters.timeout),
        set_presence: parameters.set_presence.unwrap_or(presence::State::Online),
        state_after,
    };
    let body = while_allowed(&users, &requester, async { Ok(sync.sync(&requester, request).await?) }).await?;
    Ok(([(CONTENT_TYPE, "application/json")], body).into_response())
}

impl From<SyncError> for ApiError {
    fn from(error: SyncError) -> Self {
        match error {
            SyncError::Token(_) => Self::invalid_param("`since` is not a token that this server gave out."),
            SyncError::Filter(FilterError::Unknown) => Self::invalid_param("You have stored no filter with this ID."),
            SyncError::Filter(error) => error.into(),
            SyncError::Storage(error) => error.into(),
        }
    }
}
