//! `POST /logout` and `POST /logout/all`

use axum::extract::State;
use serde_json::{Value, json};

use crate::{
    http::{ApiError, Json, Routes},
    users::{Requester, Users},
};

pub(super) fn routes() -> Routes {
    Routes::default().v3("POST", "logout", logout).v3("POST", "logout/all", logout_all)
}

async fn logout(State(users): State<Users>, requester: Requester) -> Result<Json<Value>, ApiError> {
    users.log_out(&requester).await?;
    Ok(Json(json!({})))
}

async fn logout_all(State(users): State<Users>, requester: Requester) -> Result<Json<Value>, ApiError> {
    users.delete_other_devices(requester.user, None).await?;
    Ok(Json(json!({})))
}
