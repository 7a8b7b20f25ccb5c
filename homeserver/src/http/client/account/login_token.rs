//! `POST /_matrix/client/v1/login/get_token`: lets a logged-in device log in another one.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    http::{ApiError, Json, OptionalJson, Routes, Uia},
    users::{Requester, Users},
};

pub(super) fn routes() -> Routes {
    Routes::default().v1("POST", "login/get_token", get_token)
}

#[derive(Deserialize)]
struct Body {
    auth: Option<Value>,
}

#[derive(Serialize)]
struct LoginToken {
    login_token: String,
    expires_in_ms: i64,
}

async fn get_token(
    State(users): State<Users>,
    requester: Requester,
    uia: Uia,
    OptionalJson(body): OptionalJson<Body>,
) -> Result<Json<LoginToken>, ApiError> {
    uia.require_password(&requester, body.auth.as_ref()).await?;
    let (token, expires_in_ms) = users.login_token(&requester).await?;
    Ok(Json(LoginToken { login_token: token.expose().to_owned(), expires_in_ms }))
}
