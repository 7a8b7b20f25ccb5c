//! `POST /account/password`

use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    http::{ApiError, Json, Routes, Uia},
    users::{Password, Requester, Users},
};

pub(super) fn routes() -> Routes {
    Routes::default().v3("POST", "account/password", set)
}

#[derive(Deserialize)]
struct Body {
    auth: Option<Value>,
    new_password: Option<Password>,
    #[serde(default = "yes")]
    logout_devices: bool,
}

fn yes() -> bool {
    true
}

async fn set(
    State(users): State<Users>,
    requester: Requester,
    uia: Uia,
    Json(body): Json<Body>,
) -> Result<Json<Value>, ApiError> {
    // Asked for only when the rest is there, so that a proof is not used up for nothing.
    if body.auth.is_some() && body.new_password.is_none() {
        return Err(ApiError::missing_param("`new_password` must be there."));
    }
    uia.require_password(&requester, body.auth.as_ref()).await?;
    let password = body.new_password.ok_or_else(|| ApiError::missing_param("`new_password` must be there."))?;
    users.set_password(requester.user, password, body.logout_devices, Some(requester.device)).await?;
    Ok(Json(json!({})))
}
