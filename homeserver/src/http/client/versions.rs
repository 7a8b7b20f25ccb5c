//! `GET /_matrix/client/versions`: what clients may count on.

use serde_json::{Map, Value, json};

use crate::http::{Json, Routes};

/// Released versions whose endpoints are served.
const VERSIONS: &[&str] = &[
    "r0.6.1", "v1.1", "v1.2", "v1.3", "v1.4", "v1.5", "v1.6", "v1.7", "v1.8", "v1.9", "v1.10", "v1.11", "v1.12",
    "v1.13", "v1.14", "v1.15", "v1.16",
];

/// Flags that clients test for beside the versions. Only what works stands here.
const FEATURES: &[&str] = &[
    "org.matrix.e2e_cross_signing",
    "org.matrix.msc2285.stable",
    "org.matrix.msc3391",
    "org.matrix.msc3440.stable",
    "org.matrix.msc3771",
    "org.matrix.msc3773",
    "org.matrix.msc3827.stable",
    "org.matrix.msc3874",
    "org.matrix.msc3881",
    "org.matrix.msc3882",
    "org.matrix.msc3916.stable",
    "org.matrix.msc4069",
    "org.matrix.msc4155",
    "org.matrix.msc4222",
    "org.matrix.msc4380",
    "org.matrix.msc4380.stable",
    "org.matrix.simplified_msc3575",
    "uk.half-shot.msc2666.query_mutual_rooms",
    "uk.half-shot.msc2666.query_mutual_rooms.stable",
    "uk.tcpip.msc4133",
    "uk.tcpip.msc4133.stable",
];

pub(super) fn routes() -> Routes {
    Routes::default().at("GET", "/_matrix/client/versions", versions)
}

async fn versions() -> Json<Value> {
    let features: Map<String, Value> = FEATURES.iter().map(|flag| ((*flag).to_owned(), true.into())).collect();
    Json(json!({ "versions": VERSIONS, "unstable_features": features }))
}
