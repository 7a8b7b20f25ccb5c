//! `GET /_matrix/federation/v1/openid/userinfo`: whose OpenID token it is, for third parties.

use axum::{extract::State, http::StatusCode};
use ruma::OwnedUserId;
use serde::{Deserialize, Serialize};

use crate::{
    http::{ApiError, Json, Query, Routes},
    users::{Token, Users},
};

pub(super) fn routes() -> Routes {
    Routes::default().at("GET", "/_matrix/federation/v1/openid/userinfo", userinfo)
}

#[derive(Deserialize)]
struct Shown {
    access_token: Option<String>,
}

#[derive(Serialize)]
struct UserInfo {
    sub: OwnedUserId,
}

async fn userinfo(State(users): State<Users>, Query(shown): Query<Shown>) -> Result<Json<UserInfo>, ApiError> {
    let unauthorized = |errcode, message| ApiError::new(StatusCode::UNAUTHORIZED, errcode, message);
    let token = shown
        .access_token
        .ok_or_else(|| unauthorized("M_MISSING_TOKEN", "The query must have the OpenID token as `access_token`."))?;
    let user = users.openid_user(&Token::shown(token)).await?;
    let sub = user.ok_or_else(|| unauthorized("M_UNKNOWN_TOKEN", "The OpenID token is unknown or has expired."))?;
    Ok(Json(UserInfo { sub }))
}
