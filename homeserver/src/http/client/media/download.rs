//! `GET /_matrix/client/v1/media/download/{serverName}/{mediaId}`, and the older ones that take no access token

use std::time::Duration;

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use ruma::OwnedServerName;
use serde::Deserialize;
use tokio::io::AsyncReadExt;
use tokio_util::io::ReaderStream;

use super::{
    access, headers,
    range::{self, Part},
};
use crate::{
    http::{ApiError, Path, Query, Visitor},
    media::{Access, Download, DownloadError, Media},
    users::Requester,
};

/// How long a request waits for an upload, in milliseconds.
const PATIENCE: u64 = 20_000;
/// What is read of a file at once.
const CHUNK: usize = 64 << 10;

#[derive(Debug, Clone, Copy, Deserialize)]
pub(super) struct Patience {
    timeout_ms: Option<u64>,
}

impl Patience {
    pub fn get(self) -> Duration {
        Duration::from_millis(self.timeout_ms.unwrap_or(PATIENCE))
    }
}

pub(super) async fn download(
    State(media): State<Media>,
    _requester: Requester,
    Path((server_name, media_id)): Path<(OwnedServerName, String)>,
    Query(patience): Query<Patience>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let found = media.download(Access::Authenticated, &server_name, &media_id, patience.get()).await?;
    answer(found, None, &headers).await
}

pub(super) async fn named(
    State(media): State<Media>,
    _requester: Requester,
    Path((server_name, media_id, filename)): Path<(OwnedServerName, String, String)>,
    Query(patience): Query<Patience>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let found = media.download(Access::Authenticated, &server_name, &media_id, patience.get()).await?;
    answer(found, Some(filename), &headers).await
}

pub(super) async fn open(
    State(media): State<Media>,
    visitor: Visitor,
    Path((server_name, media_id)): Path<(OwnedServerName, String)>,
    Query(patience): Query<Patience>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let found = media.download(access(visitor), &server_name, &media_id, patience.get()).await?;
    answer(found, None, &headers).await
}

pub(super) async fn open_named(
    State(media): State<Media>,
    visitor: Visitor,
    Path((server_name, media_id, filename)): Path<(OwnedServerName, String, String)>,
    Query(patience): Query<Patience>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let found = media.download(access(visitor), &server_name, &media_id, patience.get()).await?;
    answer(found, Some(filename), &headers).await
}

/// The medium, or the part of it that the client wants, as a stream.
pub(super) async fn answer(found: Download, filename: Option<String>, asked: &HeaderMap) -> Result<Response, ApiError> {
    let etag = format!("\"{}\"", found.tag);
    let (size, part) = (found.size, range::wanted(asked, found.size, &etag));
    let filename = filename.or_else(|| found.filename.clone());
    let (first, length) = match part {
        Part::Whole => (0, size),
        Part::Some { first, last } => (first, last - first + 1),
        Part::Unsatisfiable | Part::Unchanged => (0, 0),
    };
    let mut response = Response::new(Body::empty());
    headers::describe(response.headers_mut(), found.content_type.as_deref(), filename.as_deref());
    put(response.headers_mut(), header::ETAG, &etag);
    response.headers_mut().insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    match part {
        Part::Whole => {}
        Part::Some { first, last } => {
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
            put(response.headers_mut(), header::CONTENT_RANGE, &format!("bytes {first}-{last}/{size}"));
        }
        Part::Unchanged => {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return Ok(response);
        }
        Part::Unsatisfiable => {
            let message = format!("The medium has {size} bytes: nothing of the range that was asked for.");
            let error = ApiError::new(StatusCode::RANGE_NOT_SATISFIABLE, "M_UNKNOWN", message);
            let mut response = axum::response::IntoResponse::into_response(error);
            put(response.headers_mut(), header::CONTENT_RANGE, &format!("bytes */{size}"));
            return Ok(response);
        }
    }
    response.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    let file = found.read_from(first).await.map_err(DownloadError::Io)?;
    *response.body_mut() = Body::from_stream(ReaderStream::with_capacity(file.take(length), CHUNK));
    Ok(response)
}

fn put(headers: &mut HeaderMap, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

impl From<DownloadError> for ApiError {
    fn from(error: DownloadError) -> Self {
        match error {
            DownloadError::NotFound | DownloadError::Frozen | DownloadError::Remote(_) => {
                Self::not_found(error.to_string())
            }
            DownloadError::NotYetUploaded => {
                Self::new(StatusCode::GATEWAY_TIMEOUT, "M_NOT_YET_UPLOADED", error.to_string())
            }
            DownloadError::Io(error) => Self::internal(error),
            DownloadError::Storage(error) => error.into(),
        }
    }
}
