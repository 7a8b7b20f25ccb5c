//! The server-server API, as far as it is served: who this is.

mod openid;
mod version;
mod well_known;

use axum::response::{IntoResponse, Response};

use super::{ApiError, Routes};

pub(super) fn routes() -> Routes {
    Routes::default().and(openid::routes()).and(version::routes()).and(well_known::routes())
}

/// Whether only other servers use this path. OpenID tokens are shown by third parties, which `federation.enabled` is not about.
pub(super) fn is_theirs(path: &str) -> bool {
    let theirs = path.starts_with("/_matrix/federation/") || path.starts_with("/_matrix/key/");
    theirs && !path.starts_with("/_matrix/federation/v1/openid/")
}

/// What other servers are told where `federation.enabled` is off.
pub(super) fn closed() -> Response {
    ApiError::forbidden("This server does not federate: its administrators have switched that off.").into_response()
}
