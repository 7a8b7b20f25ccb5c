//! HTTP: the only room that knows axum and the protocol's error codes. Files mirror the URL tree; a handler parses, calls
//! one domain function and renders.
//!
//! **Invariant:** no SQL, no decision that the protocol makes, no state besides what [`Api`] names.

mod api;
mod auth;
mod client;
mod compress;
mod cors;
mod error;
mod extract;
mod federation;
mod front;
mod health;
mod limited_routes;
mod limits;
mod metrics;
mod patience;
mod routes;
mod server;
mod server_keys;
mod site;
mod tls;
mod uia;
mod unread;
mod welcome;
mod wire;

pub use api::Api;
pub use auth::{Passer, Visitor};
pub use axum::Router;
pub use error::ApiError;
pub use extract::{Json, OptionalJson, Path, Query, RawObject};
pub use front::ClientAddr;
pub use health::{Health, starting_router};
pub use limits::{Limited, Limits, Whom};
pub use metrics::{Sampled, metrics_router};
pub use routes::{Route, Routes};
pub use server::{Served, bind, serve};
pub use site::Site;
pub use tls::{Tls, TlsError};
pub use uia::Uia;

/// Every route of the server, with its handler.
pub fn routes() -> Routes {
    Routes::default()
        .and(client::routes())
        .and(federation::routes())
        .and(health::routes())
        .and(server_keys::routes())
        .and(welcome::routes())
}

/// The service that answers requests.
pub fn router(api: Api) -> axum::Router {
    routes().into_router(api)
}
