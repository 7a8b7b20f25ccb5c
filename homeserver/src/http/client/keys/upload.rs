//! `POST /_matrix/client/v3/keys/upload`

use std::collections::BTreeMap;

use axum::{extract::State, http::StatusCode};
use serde::Serialize;

use crate::{
    http::{ApiError, RawObject},
    keys::{KeyUpload, Keys, UploadError},
    users::{AuthError, Requester},
};

#[derive(Serialize)]
pub(super) struct Counts {
    one_time_key_counts: BTreeMap<String, i64>,
}

pub(super) async fn upload(
    State(keys): State<Keys>,
    requester: Requester,
    body: RawObject,
) -> Result<crate::http::Json<Counts>, ApiError> {
    let counts = keys.upload(&requester, body.read::<KeyUpload>()?).await?;
    Ok(crate::http::Json(Counts { one_time_key_counts: counts.one_time }))
}

impl From<UploadError> for ApiError {
    fn from(error: UploadError) -> Self {
        match error {
            UploadError::MalformedDeviceKeys | UploadError::MalformedKey(_) => Self::bad_json(error.to_string()),
            UploadError::LargeKey(_) | UploadError::LargeDeviceKeys | UploadError::TooMany => {
                Self::too_large(error.to_string())
            }
            UploadError::NoDevice => AuthError::Unknown.into(),
            UploadError::ForeignDeviceKeys | UploadError::MalformedKeyId(_) => Self::invalid_param(error.to_string()),
            UploadError::Exists { .. } => Self::new(StatusCode::BAD_REQUEST, "M_UNKNOWN", error.to_string()),
            UploadError::Storage(error) => error.into(),
            UploadError::Log(error) => error.into(),
        }
    }
}
