//! `GET /_matrix/client/v1/media/download/{serverName}/{mediaId}`

use axum::{body::Body, extract::State, http::StatusCode, response::Response};
use ruma::OwnedServerName;
use tokio_util::io::ReaderStream;

use super::headers;
use crate::{
    http::{ApiError, Path},
    media::{DownloadError, Media},
    users::Requester,
};

pub(super) async fn download(
    State(media): State<Media>,
    _requester: Requester,
    Path((server_name, media_id)): Path<(OwnedServerName, String)>,
) -> Result<Response, ApiError> {
    answer(&media, &server_name, &media_id, None).await
}

pub(super) async fn named(
    State(media): State<Media>,
    _requester: Requester,
    Path((server_name, media_id, filename)): Path<(OwnedServerName, String, String)>,
) -> Result<Response, ApiError> {
    answer(&media, &server_name, &media_id, Some(filename)).await
}

async fn answer(
    media: &Media,
    server_name: &OwnedServerName,
    media_id: &str,
    filename: Option<String>,
) -> Result<Response, ApiError> {
    let found = media.download(server_name, media_id).await?;
    let filename = filename.or(found.filename);
    let mut response = Response::new(Body::from_stream(ReaderStream::with_capacity(found.file, 64 << 10)));
    headers::describe(response.headers_mut(), found.content_type.as_deref(), filename.as_deref(), found.size);
    Ok(response)
}

impl From<DownloadError> for ApiError {
    fn from(error: DownloadError) -> Self {
        match error {
            DownloadError::NotFound => Self::not_found(error.to_string()),
            DownloadError::Remote(_) => Self::new(StatusCode::NOT_FOUND, "M_NOT_FOUND", error.to_string()),
            DownloadError::Io(error) => Self::internal(error),
            DownloadError::Storage(error) => error.into(),
        }
    }
}
