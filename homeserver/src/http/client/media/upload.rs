//! `POST /_matrix/media/v3/upload`

use axum::{
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    http::{ApiError, Json, Query},
    media::{Media, UploadError},
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
    let content_type = text_header(request.headers(), header::CONTENT_TYPE);
    let length = text_header(request.headers(), header::CONTENT_LENGTH).and_then(|l| l.parse::<u64>().ok());
    if length.is_some_and(|length| length > media.max_upload_size()) {
        // Said before the bytes are read, so that nobody sends a film for nothing.
        return Err(UploadError::TooLarge { limit: media.max_upload_size() }.into());
    }
    let body = request.into_body().into_data_stream();
    let uri = media.upload(&requester, content_type, named.filename, body).await?;
    Ok(Json(json!({"content_uri": uri})))
}

fn text_header(headers: &HeaderMap, name: header::HeaderName) -> Option<String> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
}

impl From<UploadError> for ApiError {
    fn from(error: UploadError) -> Self {
        match error {
            UploadError::TooLarge { .. } => Self::too_large(error.to_string()),
            UploadError::CutOff => Self::new(StatusCode::BAD_REQUEST, "M_UNKNOWN", error.to_string()),
            UploadError::Stalled => Self::new(StatusCode::REQUEST_TIMEOUT, "M_UNKNOWN", error.to_string()),
            UploadError::DiskFull => {
                tracing::error!("the disk of the media folder is full");
                Self::new(
                    StatusCode::INSUFFICIENT_STORAGE,
                    "M_UNKNOWN",
                    "The server's disk is full; nothing was stored.",
                )
            }
            UploadError::Io(error) => Self::internal(error),
            UploadError::Storage(error) => error.into(),
        }
    }
}
