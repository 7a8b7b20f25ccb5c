//! `GET /_matrix/client/v3/keys/changes`

use std::sync::Arc;

use axum::extract::State;
use serde::{Deserialize, Serialize};

use crate::{
    http::{ApiError, Json, Query},
    sync::Sync,
    users::Requester,
};

#[derive(Deserialize)]
pub(super) struct Between {
    from: String,
    to: String,
}

#[derive(Serialize)]
pub(super) struct Changes {
    changed: Vec<Arc<str>>,
    left: Vec<Arc<str>>,
}

pub(super) async fn changes(
    State(sync): State<Sync>,
    requester: Requester,
    Query(Between { from, to }): Query<Between>,
) -> Result<Json<Changes>, ApiError> {
    let (changed, left) = sync.key_changes(&requester, &from, &to).await?;
    Ok(Json(Changes { changed, left }))
}
