//! `GET /login` and `POST /login`

use axum::{Extension, extract::State};
use ruma::{OwnedDeviceId, OwnedUserId};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    http::{
        ApiError, ClientAddr, Json, Routes,
        limits::{Limited, Limits},
        uia::Identifier,
    },
    users::{LogIn, LoggedIn, LoginError, Password, Token, Users},
};

pub(super) fn routes() -> Routes {
    Routes::default().v3("GET", "login", flows).v3("POST", "login", login)
}

async fn flows() -> Json<Value> {
    Json(json!({ "flows": [
        { "type": "m.login.password" },
        { "type": "m.login.token", "get_login_token": true },
    ] }))
}

#[derive(Deserialize)]
struct Body {
    #[serde(rename = "type")]
    kind: String,
    identifier: Option<Identifier>,
    /// Before `identifier` there was this.
    user: Option<String>,
    password: Option<Password>,
    token: Option<String>,
    device_id: Option<String>,
    initial_device_display_name: Option<String>,
    #[serde(default)]
    refresh_token: bool,
}

/// A device that was logged in, as `/login` and `/register` show it.
#[derive(Serialize)]
pub(super) struct Device {
    user_id: OwnedUserId,
    device_id: OwnedDeviceId,
    access_token: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_in_ms: Option<i64>,
    /// Deprecated, and still read by older clients.
    home_server: String,
}

impl From<LoggedIn> for Device {
    fn from(device: LoggedIn) -> Self {
        Self {
            home_server: device.user_id.server_name().to_string(),
            user_id: device.user_id,
            device_id: device.device_id,
            access_token: device.access_token.expose().to_owned(),
            refresh_token: device.refresh_token.map(|token| token.expose().to_owned()),
            expires_in_ms: device.expires_in_ms,
        }
    }
}

async fn login(
    State(users): State<Users>,
    State(limits): State<Limits>,
    Extension(ClientAddr(address)): Extension<ClientAddr>,
    Json(body): Json<Body>,
) -> Result<Json<Device>, ApiError> {
    limits.take(Limited::LoginFromAddress, address)?;
    let how = LogIn {
        device_id: body.device_id,
        display_name: body.initial_device_display_name,
        refresh: body.refresh_token,
    };
    let device = match body.kind.as_str() {
        "m.login.password" => {
            let user = user(body.identifier, body.user)?;
            let password =
                body.password.ok_or_else(|| ApiError::missing_param("`password` must be there for this login."))?;
            // Names that nobody has are counted too, so that they are not told apart; before the password is tried, so that many
            // at once are no more tries than one after another.
            let name = users.name_of(&user);
            limits.take(Limited::WrongPassword, name.as_str())?;
            let device = users.log_in_with_password(&user, password, how).await;
            if !matches!(device, Err(LoginError::Refused)) {
                limits.give_back(Limited::WrongPassword, name.as_str());
            }
            device?
        }
        "m.login.token" => {
            let token = body.token.ok_or_else(|| ApiError::missing_param("`token` must be there for this login."))?;
            users.log_in_with_token(&Token::shown(token), how).await?
        }
        other => return Err(unknown(format!("This server has no login of the type {other:?}."))),
    };
    Ok(Json(device.into()))
}

/// The localpart or user ID.
fn user(identifier: Option<Identifier>, legacy: Option<String>) -> Result<String, ApiError> {
    let missing = || ApiError::missing_param("`identifier` must say who logs in.");
    match identifier {
        None => legacy.ok_or_else(missing),
        Some(Identifier { kind, user }) if kind == "m.id.user" => user.ok_or_else(missing),
        // Nobody here has an address to log in with.
        Some(Identifier { kind, .. }) if kind == "m.id.thirdparty" || kind == "m.id.phone" => {
            Err(LoginError::Refused.into())
        }
        Some(Identifier { kind, .. }) => Err(unknown(format!("Users can't be identified by {kind:?} here."))),
    }
}

fn unknown(message: String) -> ApiError {
    ApiError::new(axum::http::StatusCode::BAD_REQUEST, "M_UNKNOWN", message)
}
