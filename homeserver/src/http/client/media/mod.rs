//! Media: `/_matrix/client/v1/media/…`, the older `/_matrix/media/…`, and uploads.

mod config;
mod download;
mod headers;
mod preview;
mod range;
mod thumbnail;
mod upload;

use crate::{
    http::{Routes, Visitor},
    media::Access,
};

/// Names of the older endpoints, which ask for no access token, and show more to those who bring one.
const OLDER: [&str; 3] = ["/_matrix/media/v3", "/_matrix/media/r0", "/_matrix/media/v1"];

/// What a visitor of the older endpoints may see.
fn access(visitor: Visitor) -> Access {
    match visitor {
        Visitor::Known => Access::Authenticated,
        Visitor::Passer => Access::Open,
    }
}

pub(super) fn routes() -> Routes {
    let mut routes = Routes::default()
        .at("POST", "/_matrix/media/v1/create", upload::create)
        .at("PUT", "/_matrix/media/v3/upload/{server_name}/{media_id}", upload::upload_to)
        .v1("GET", "media/config", config::config)
        .v1("GET", "media/preview_url", preview::preview)
        .v1("GET", "media/download/{server_name}/{media_id}", download::download)
        .v1("GET", "media/download/{server_name}/{media_id}/{filename}", download::named)
        .v1("GET", "media/thumbnail/{server_name}/{media_id}", thumbnail::thumbnail);
    for older in OLDER {
        routes = routes
            .at("POST", &format!("{older}/upload"), upload::upload)
            .at("GET", &format!("{older}/config"), config::config)
            .at("GET", &format!("{older}/preview_url"), preview::preview)
            .at("GET", &format!("{older}/download/{{server_name}}/{{media_id}}"), download::open)
            .at("GET", &format!("{older}/download/{{server_name}}/{{media_id}}/{{filename}}"), download::open_named)
            .at("GET", &format!("{older}/thumbnail/{{server_name}}/{{media_id}}"), thumbnail::open);
    }
    routes
}
