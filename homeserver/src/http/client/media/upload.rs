//! `POST /_matrix/media/v3/upload`; `POST /_matrix/media/v1/create` and `PUT /_matrix/media/v3/upload/{serverName}/{mediaId}`

use std::time::Duration;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
};
use ruma::OwnedServerName;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    http::{ApiError, Json, Path, Query},
    media::{Described, Media, UploadError},
    users::Requester,
};

#[derive(Deserialize)]
pub(super) struct Named {
    filename: Option<String>,
}

pub(super) async fn upload(
    State(media): State<Media>,
    requester: Requester,
    Query(named): Query<Named>,
    request: Request,
) -> Result<Json<Value>, ApiError> {
    let described = describe(request.headers(), named);
    let body = request.into_body().into_data_stream();
    let uri = media.upload(&requester, described, body).await?;
    Ok(Json(json!({"content_uri": uri})))
}

pub(super) async fn create(State(media): State<Media>, requester: Requester) -> Result<Json<Value>, ApiError> {
    let reserved = media.reserve(&requester).await?;
    Ok(Json(json!({"content_uri": reserved.uri, "unused_expires_at": reserved.expires_ts})))
}

pub(super) async fn upload_to(
    State(media): State<Media>,
    requester: Requester,
    Path((server_name, media_id)): Path<(OwnedServerName, String)>,
    Query(named): Query<Named>,
    request: Request,
) -> Result<Json<Value>, ApiError> {
    let described = describe(request.headers(), named);
    let body = request.into_body().into_data_stream();
    media.upload_to(&requester, &server_name, &media_id, described, body).await?;
    Ok(Json(json!({})))
}

fn describe(headers: &HeaderMap, named: Named) -> Described {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let length = text(header::CONTENT_LENGTH).and_then(|length| length.parse().ok());
    Described { content_type: text(header::CONTENT_TYPE), filename: named.filename, length }
}

impl From<UploadError> for ApiError {
    fn from(error: UploadError) -> Self {
        match error {
            UploadError::TooLarge { .. } => Self::too_large(error.to_string()),
            UploadError::OverQuota { .. } | UploadError::NotYours => Self::forbidden(error.to_string()),
            UploadError::CutOff => Self::new(StatusCode::BAD_REQUEST, "M_UNKNOWN", error.to_string()),
            UploadError::Stalled => Self::new(StatusCode::REQUEST_TIMEOUT, "M_UNKNOWN", error.to_string()),
            UploadError::UnknownId => Self::not_found(error.to_string()),
            UploadError::Taken => Self::new(StatusCode::CONFLICT, "M_CANNOT_OVERWRITE_MEDIA", error.to_string()),
            UploadError::TooManyPending { millis } => {
                Self::limited(Duration::from_millis(u64::try_from(millis).unwrap_or(0)))
            }
            UploadError::DiskFull => {
                tracing::error!("the disk of the media folder is full");
                Self::new(
                    StatusCode::INSUFFICIENT_STORAGE,
                    "M_UNKNOWN",
                    "The server's disk is full; nothing was stored.",
                )
            }
            UploadError::Apart(_) => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "M_UNKNOWN",
                "This node's media folder is not the server's; nothing was stored.",
            ),
            UploadError::Io(error) => Self::internal(error),
            UploadError::Storage(error) => error.into(),
        }
    }
}
