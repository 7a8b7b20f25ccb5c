//! `GET /_matrix/key/v2/server`: the keys that other servers check our signatures with.

use axum::{
    extract::State,
    http::header::CONTENT_TYPE,
    response::{IntoResponse, Response},
};
use roost_federation::keyring;

use super::Routes;
use crate::{clock, keys::Identity};

pub(super) fn routes() -> Routes {
    Routes::default()
        .at("GET", "/_matrix/key/v2/server", publish)
        // Deprecated in 1.6, and still asked for by older servers: the id was never more than a hint.
        .at("GET", "/_matrix/key/v2/server/{keyId}", publish)
}

async fn publish(State(identity): State<Identity>) -> Response {
    let now = u64::try_from(clock::now_ms()).unwrap_or_default();
    let old = identity.old_keys().iter().map(|old| (old.key_id.as_str(), old.key, old.retired_ts));
    let document = keyring::publish(identity.signer(), old, now);
    ([(CONTENT_TYPE, "application/json")], document.to_canonical()).into_response()
}
