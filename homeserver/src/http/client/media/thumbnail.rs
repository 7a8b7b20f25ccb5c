//! `GET /_matrix/client/v1/media/thumbnail/{serverName}/{mediaId}`, and the older ones that take no access token

use std::time::Duration;

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
    response::Response,
};
use ruma::OwnedServerName;
use serde::Deserialize;

use super::{access, download::answer};
use crate::{
    http::{ApiError, Path, Query, Visitor},
    media::{Access, Media, Method, ThumbnailError, Wanted},
    users::Requester,
};

#[derive(Debug, Deserialize)]
pub(super) struct Parameters {
    width: u32,
    height: u32,
    #[serde(default)]
    method: Fit,
    /// Milliseconds.
    timeout_ms: Option<u64>,
    /// Pictures stand still here, as they may.
    #[serde(rename = "animated")]
    _animated: Option<bool>,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Fit {
    Crop,
    #[default]
    Scale,
}

pub(super) async fn thumbnail(
    State(media): State<Media>,
    _requester: Requester,
    Path((server_name, media_id)): Path<(OwnedServerName, String)>,
    Query(parameters): Query<Parameters>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    make(&media, Access::Authenticated, &server_name, &media_id, &parameters, &headers).await
}

pub(super) async fn open(
    State(media): State<Media>,
    visitor: Visitor,
    Path((server_name, media_id)): Path<(OwnedServerName, String)>,
    Query(parameters): Query<Parameters>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    make(&media, access(visitor), &server_name, &media_id, &parameters, &headers).await
}

async fn make(
    media: &Media,
    access: Access,
    server_name: &OwnedServerName,
    media_id: &str,
    parameters: &Parameters,
    headers: &HeaderMap,
) -> Result<Response, ApiError> {
    let (width, height) = (parameters.width, parameters.height);
    if width == 0 || height == 0 {
        return Err(ApiError::invalid_param("A thumbnail is at least one pixel wide and high."));
    }
    let method = match parameters.method {
        Fit::Crop => Method::Crop,
        Fit::Scale => Method::Scale,
    };
    let patience = Duration::from_millis(parameters.timeout_ms.unwrap_or(20_000));
    let wanted = Wanted { width, height, method };
    answer(media.thumbnail(access, server_name, media_id, wanted, patience).await?, None, headers).await
}

impl From<ThumbnailError> for ApiError {
    fn from(error: ThumbnailError) -> Self {
        match error {
            ThumbnailError::TooLarge => Self::too_large(error.to_string()),
            ThumbnailError::Unreadable => Self::new(StatusCode::BAD_REQUEST, "M_UNKNOWN", error.to_string()),
            ThumbnailError::Busy => Self::unavailable("The server makes too many thumbnails. Try again soon."),
            ThumbnailError::Download(error) => error.into(),
        }
    }
}
