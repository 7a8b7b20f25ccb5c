//! `POST /_matrix/client/v3/keys/device_signing/upload`

use axum::{extract::State, http::StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    http::{ApiError, Json, RawObject, Uia},
    keys::{CrossSigningError, CrossSigningUpload, Keys},
    users::Requester,
};

/// Beside the keys, which are read on their own: raw JSON can't pass through a flattened struct.
#[derive(Deserialize)]
struct Proof {
    auth: Option<Value>,
}

pub(super) async fn upload(
    State(keys): State<Keys>,
    uia: Uia,
    requester: Requester,
    body: RawObject,
) -> Result<Json<Value>, ApiError> {
    let upload: CrossSigningUpload = body.read()?;
    let Proof { auth } = body.read()?;
    // The first keys, and a repeated upload, ask for no password: bots and new users are spared it (v1.11).
    if !keys.needs_no_proof(&requester, &upload).await? {
        uia.require_password(&requester, auth.as_ref()).await?;
    }
    keys.upload_cross_signing(&requester, &upload).await?;
    Ok(Json(json!({})))
}

impl From<CrossSigningError> for ApiError {
    fn from(error: CrossSigningError) -> Self {
        match error {
            CrossSigningError::Malformed(_) | CrossSigningError::Foreign(_) | CrossSigningError::NoMasterKey => {
                Self::invalid_param(error.to_string())
            }
            CrossSigningError::BadSignature(_) => {
                Self::new(StatusCode::BAD_REQUEST, "M_INVALID_SIGNATURE", error.to_string())
            }
            CrossSigningError::Storage(error) => error.into(),
            CrossSigningError::Log(error) => error.into(),
        }
    }
}
