//! What can be asked before registering: whether a name is free, whether a registration token is good.

use axum::{Extension, extract::State};
use serde::Deserialize;
use serde_json::{Value, json};

use super::register::closed;
use crate::{
    config::RegistrationMode,
    http::{
        ApiError, ClientAddr, Json, Query, Routes,
        limits::{Limited, Limits},
    },
    users::Users,
};

pub(super) fn routes() -> Routes {
    Routes::default().v3("GET", "register/available", available).v1(
        "GET",
        "register/m.login.registration_token/validity",
        validity,
    )
}

#[derive(Deserialize)]
struct Name {
    username: String,
}

#[derive(Deserialize)]
struct Token {
    token: String,
}

async fn available(
    State(users): State<Users>,
    State(limits): State<Limits>,
    Extension(ClientAddr(address)): Extension<ClientAddr>,
    Query(Name { username }): Query<Name>,
) -> Result<Json<Value>, ApiError> {
    if users.registration_mode() == RegistrationMode::Closed {
        return Err(closed());
    }
    limits.take(Limited::Lookup, address)?;
    users.check_name(&username).await?;
    Ok(Json(json!({ "available": true })))
}

async fn validity(
    State(users): State<Users>,
    State(limits): State<Limits>,
    Extension(ClientAddr(address)): Extension<ClientAddr>,
    Query(Token { token }): Query<Token>,
) -> Result<Json<Value>, ApiError> {
    if users.registration_mode() == RegistrationMode::Closed {
        return Err(closed());
    }
    limits.take(Limited::Lookup, address)?;
    Ok(Json(json!({ "valid": users.is_registration_token_valid(&token).await? })))
}
