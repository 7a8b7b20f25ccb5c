//! `POST /register`

use axum::{Extension, extract::State, http::StatusCode};
use ruma::OwnedUserId;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::login::Device;
use crate::{
    config::RegistrationMode,
    http::{
        ApiError, ClientAddr, Json, OptionalJson, Query, Routes, Uia,
        limits::{Limited, Limits},
    },
    users::{Ends, Flows, LogIn, LoggedIn, NewAccount, Password, Stage, Users},
};

pub(super) fn routes() -> Routes {
    Routes::default().v3("POST", "register", register)
}

#[derive(Deserialize)]
struct Kind {
    kind: Option<String>,
}

#[derive(Deserialize)]
struct Body {
    auth: Option<Value>,
    #[serde(rename = "type")]
    kind: Option<String>,
    username: Option<String>,
    password: Option<Password>,
    device_id: Option<String>,
    initial_device_display_name: Option<String>,
    #[serde(default)]
    inhibit_login: bool,
    #[serde(default)]
    refresh_token: bool,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Registered {
    LoggedIn(Box<Device>),
    Only { user_id: OwnedUserId, home_server: String },
}

async fn register(
    State(users): State<Users>,
    State(limits): State<Limits>,
    Extension(ClientAddr(address)): Extension<ClientAddr>,
    uia: Uia,
    Query(Kind { kind }): Query<Kind>,
    OptionalJson(body): OptionalJson<Body>,
) -> Result<Json<Registered>, ApiError> {
    match kind.as_deref() {
        None | Some("user") => {}
        Some("guest") => {
            let message = "This server has no guests.";
            return Err(ApiError::new(StatusCode::FORBIDDEN, "M_GUEST_ACCESS_FORBIDDEN", message));
        }
        Some(_) => return Err(ApiError::invalid_param("`kind` is `user` or `guest`.")),
    }
    if body.kind.as_deref() == Some("m.login.application_service") {
        return Err(ApiError::forbidden("No application service may make accounts on this server."));
    }
    let flows = open_flows(users.registration_mode())?;
    limits.take(Limited::Registration, address)?;
    if let (Some(made), Some(password)) = (uia.made(body.auth.as_ref()).await?, &body.password) {
        // The answer was lost, and is given again.
        let again = users.register_again(made, body.username.as_deref(), password.clone(), body.refresh_token).await?;
        if let Some((user_id, device)) = again {
            return Ok(Json(registered(user_id, device.filter(|_| !body.inhibit_login))));
        }
    }
    let name = match &body.username {
        Some(asked) => Some(users.check_name(asked).await?),
        None => None,
    };
    let is_begun = body.auth.as_ref().is_some_and(|auth| auth.get("type").is_some());
    if is_begun && body.password.is_none() {
        return Err(ApiError::missing_param("`password` must be there."));
    }
    let passed = uia.ending(Ends::WithOperation).require(None, flows, body.auth.as_ref()).await?;

    let password = body.password.ok_or_else(|| ApiError::missing_param("`password` must be there."))?;
    let new = NewAccount {
        name,
        password: Some(password),
        admin: false,
        registration_token: passed.registration_token,
        session: Some(passed.session),
    };
    if body.inhibit_login {
        return Ok(Json(registered(users.create(new).await?, None)));
    }
    let how = LogIn {
        device_id: body.device_id,
        display_name: body.initial_device_display_name,
        refresh: body.refresh_token,
    };
    let device = users.register(new, how).await?;
    Ok(Json(registered(device.user_id.clone(), Some(device))))
}

fn registered(user_id: OwnedUserId, device: Option<LoggedIn>) -> Registered {
    match device {
        Some(device) => Registered::LoggedIn(Box::new(device.into())),
        None => Registered::Only { home_server: user_id.server_name().to_string(), user_id },
    }
}

/// What has to be shown to make an account.
fn open_flows(mode: RegistrationMode) -> Result<Flows, ApiError> {
    match mode {
        RegistrationMode::Closed => Err(closed()),
        RegistrationMode::Token => Ok(&[&[Stage::RegistrationToken]]),
        RegistrationMode::Open => Ok(&[&[Stage::Dummy]]),
    }
}

pub(super) fn closed() -> ApiError {
    ApiError::forbidden("This server's administrators make the accounts; registration is closed.")
}
