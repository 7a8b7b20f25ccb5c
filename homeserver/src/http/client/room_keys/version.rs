//! `/_matrix/client/v3/room_keys/version`

use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json, value::RawValue};

use super::number;
use crate::{
    http::{ApiError, Json, Path},
    keys::{BackupError, Keys},
    storage,
    users::Requester,
};

#[derive(Deserialize)]
pub(super) struct Body {
    algorithm: String,
    auth_data: Box<RawValue>,
    version: Option<String>,
}

#[derive(Serialize)]
pub(super) struct Version {
    algorithm: String,
    auth_data: Box<RawValue>,
    count: i64,
    etag: String,
    version: String,
}

pub(super) async fn create(
    State(keys): State<Keys>,
    requester: Requester,
    Json(body): Json<Body>,
) -> Result<Json<Value>, ApiError> {
    check(&body)?;
    let version = keys.create_backup(&requester, &body.algorithm, &body.auth_data).await?;
    Ok(Json(json!({"version": version.to_string()})))
}

pub(super) async fn current(State(keys): State<Keys>, requester: Requester) -> Result<Json<Version>, ApiError> {
    show(&keys, &requester, None).await
}

pub(super) async fn get(
    State(keys): State<Keys>,
    requester: Requester,
    Path(version): Path<String>,
) -> Result<Json<Version>, ApiError> {
    show(&keys, &requester, Some(number(&version)?)).await
}

pub(super) async fn update(
    State(keys): State<Keys>,
    requester: Requester,
    Path(version): Path<String>,
    Json(body): Json<Body>,
) -> Result<Json<Value>, ApiError> {
    check(&body)?;
    if body.version.as_ref().is_some_and(|v| *v != version) {
        return Err(BackupError::OtherVersion.into());
    }
    keys.update_backup(&requester, number(&version)?, &body.algorithm, &body.auth_data).await?;
    Ok(Json(json!({})))
}

pub(super) async fn delete(
    State(keys): State<Keys>,
    requester: Requester,
    Path(version): Path<String>,
) -> Result<Json<Value>, ApiError> {
    keys.delete_backup(&requester, number(&version)?).await?;
    Ok(Json(json!({})))
}

fn check(body: &Body) -> Result<(), ApiError> {
    if body.auth_data.get().starts_with('{') {
        Ok(())
    } else {
        Err(ApiError::bad_json("`auth_data` must be an object."))
    }
}

async fn show(keys: &Keys, requester: &Requester, version: Option<i64>) -> Result<Json<Version>, ApiError> {
    let (stored, count) = keys.backup(requester, version).await?;
    let auth_data = RawValue::from_string(stored.auth_data).map_err(|e| storage::Error::Inconsistent(e.to_string()))?;
    Ok(Json(Version {
        algorithm: stored.algorithm,
        auth_data,
        count,
        etag: stored.etag.to_string(),
        version: stored.version.to_string(),
    }))
}
