//! `/_synapse/admin/v1/register`: how deployment tools make accounts, under the path that they know.

use axum::{Extension, extract::State};
use serde::{Deserialize, Serialize};

use super::login::Device;
use crate::{
    http::{
        ApiError, ClientAddr, Json, Routes,
        limits::{Limited, Limits},
    },
    users::{Password, SharedSecretError, SharedSecretRequest, Users},
};

const PATH: &str = "/_synapse/admin/v1/register";

pub(super) fn routes() -> Routes {
    Routes::default().at("GET", PATH, nonce).at("POST", PATH, register)
}

#[derive(Serialize)]
struct Nonce {
    nonce: String,
}

#[derive(Deserialize)]
struct Body {
    nonce: String,
    username: String,
    password: Password,
    #[serde(default)]
    admin: bool,
    user_type: Option<String>,
    mac: String,
}

async fn nonce(
    State(users): State<Users>,
    State(limits): State<Limits>,
    Extension(ClientAddr(address)): Extension<ClientAddr>,
) -> Result<Json<Nonce>, ApiError> {
    limits.take(Limited::Lookup, address)?;
    Ok(Json(Nonce { nonce: users.registration_nonce().await? }))
}

async fn register(
    State(users): State<Users>,
    State(limits): State<Limits>,
    Extension(ClientAddr(address)): Extension<ClientAddr>,
    Json(body): Json<Body>,
) -> Result<Json<Device>, ApiError> {
    // Only wrong ones are counted for good: a tool that knows the secret makes many accounts at once.
    limits.take(Limited::Registration, address)?;
    let Body { nonce, username, password, admin, user_type, mac } = body;
    let ask = SharedSecretRequest { nonce, username, password, admin, user_type, mac };
    let made = users.register_by_shared_secret(ask).await;
    if !matches!(made, Err(SharedSecretError::Mac)) {
        limits.give_back(Limited::Registration, address);
    }
    Ok(Json(made?.into()))
}
