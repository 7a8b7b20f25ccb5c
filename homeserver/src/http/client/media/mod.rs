//! Media: `/_matrix/client/v1/media/…` and uploads.

mod config;
mod download;
mod headers;
mod upload;

use crate::http::Routes;

pub(super) fn routes() -> Routes {
    Routes::default()
        .at("POST", "/_matrix/media/v3/upload", upload::upload)
        .at("POST", "/_matrix/media/r0/upload", upload::upload)
        .v1("GET", "media/config", config::config)
        .at("GET", "/_matrix/media/v3/config", config::config)
        .at("GET", "/_matrix/media/r0/config", config::config)
        .v1("GET", "media/download/{server_name}/{media_id}", download::download)
        .v1("GET", "media/download/{server_name}/{media_id}/{filename}", download::named)
}
