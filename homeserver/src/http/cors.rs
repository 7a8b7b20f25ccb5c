//! Cross-origin requests: a web client comes from another origin than the server's, always.
//!
//! The specification's headers, on everything under a path that clients use; `OPTIONS` never reaches a handler.

use axum::{body::Body, response::Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, PUT, DELETE, PATCH, OPTIONS");
const HEADERS: HeaderValue = HeaderValue::from_static("X-Requested-With, Content-Type, Authorization, Date");
/// What a page's script may read besides the body.
const EXPOSED: HeaderValue = HeaderValue::from_static("Retry-After, X-Request-Id, ETag, Content-Disposition");
/// Browsers ask again after a day; most cap it at less.
const MAX_AGE: HeaderValue = HeaderValue::from_static("86400");

/// Whether clients use this path. Figures and health are nobody's business on another origin.
pub(super) fn covers(path: &str) -> bool {
    ["/_matrix/", "/_synapse/", "/.well-known/"].iter().any(|prefix| path.starts_with(prefix))
}

/// The answer to a browser that asks whether it may ask.
pub(super) fn preflight() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    response
}

/// Adds what lets a page read the answer.
pub(super) fn allow(headers: &mut HeaderMap) {
    let pairs: [(HeaderName, HeaderValue); 4] = [
        (header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*")),
        (header::ACCESS_CONTROL_ALLOW_METHODS, METHODS),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, HEADERS),
        (header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED),
    ];
    headers.extend(pairs);
}
