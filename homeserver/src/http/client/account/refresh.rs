//! `POST /refresh`

use axum::{Extension, extract::State};
use serde::{Deserialize, Serialize};

use crate::{
    http::{
        ApiError, ClientAddr, Json, Routes,
        limits::{Limited, Limits},
    },
    users::{Token, Users},
};

pub(super) fn routes() -> Routes {
    Routes::default().v3("POST", "refresh", refresh)
}

#[derive(Deserialize)]
struct Body {
    refresh_token: String,
}

#[derive(Serialize)]
struct Refreshed {
    access_token: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_in_ms: Option<i64>,
}

async fn refresh(
    State(users): State<Users>,
    State(limits): State<Limits>,
    Extension(ClientAddr(address)): Extension<ClientAddr>,
    Json(body): Json<Body>,
) -> Result<Json<Refreshed>, ApiError> {
    limits.take(Limited::Refresh, address)?;
    let refreshed = users.refresh(&Token::shown(body.refresh_token)).await?;
    Ok(Json(Refreshed {
        access_token: refreshed.access_token.expose().to_owned(),
        refresh_token: refreshed.refresh_token.map(|token| token.expose().to_owned()),
        expires_in_ms: refreshed.expires_in_ms,
    }))
}
