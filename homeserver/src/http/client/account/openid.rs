//! `POST /user/{userId}/openid/request_token`

use axum::extract::State;
use ruma::{OwnedServerName, OwnedUserId};
use serde::Serialize;
use serde::de::IgnoredAny;

use crate::{
    http::{ApiError, Json, OptionalJson, Path, Routes},
    users::{Requester, Users},
};

pub(super) fn routes() -> Routes {
    Routes::default().v3("POST", "user/{userId}/openid/request_token", request_token)
}

#[derive(Serialize)]
struct Granted {
    access_token: String,
    token_type: &'static str,
    matrix_server_name: OwnedServerName,
    expires_in: i64,
}

async fn request_token(
    State(users): State<Users>,
    requester: Requester,
    Path(user): Path<OwnedUserId>,
    OptionalJson(_): OptionalJson<IgnoredAny>,
) -> Result<Json<Granted>, ApiError> {
    if requester.user_id != user {
        return Err(ApiError::forbidden("An OpenID token can be had for oneself alone."));
    }
    let granted = users.openid_token(&requester).await?;
    Ok(Json(Granted {
        access_token: granted.token.expose().to_owned(),
        token_type: "Bearer",
        matrix_server_name: users.server_name().to_owned(),
        expires_in: granted.expires_in_s,
    }))
}
