//! `GET /_matrix/client/v1/media/preview_url`: this server asks no strangers' addresses.

use axum::http::StatusCode;

use crate::{http::ApiError, users::Requester};

pub(super) async fn preview(_requester: Requester) -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "M_UNRECOGNIZED", "This server makes no previews of URLs.")
}
