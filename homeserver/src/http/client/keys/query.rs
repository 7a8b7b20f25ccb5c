//! `POST /_matrix/client/v3/keys/query`

use std::collections::BTreeMap;

use axum::extract::State;
use ruma::OwnedUserId;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, value::RawValue};

use crate::{
    http::{ApiError, Json},
    keys::{Keys, KeysByUser},
    users::Requester,
};

#[derive(Deserialize)]
pub(super) struct Query {
    device_keys: BTreeMap<OwnedUserId, Vec<String>>,
    /// Checked, and without effect while no other server is asked.
    #[serde(rename = "timeout")]
    _timeout: Option<u64>,
}

#[derive(Serialize)]
pub(super) struct Queried {
    device_keys: BTreeMap<OwnedUserId, BTreeMap<String, Box<RawValue>>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    master_keys: KeysByUser,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    self_signing_keys: KeysByUser,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    user_signing_keys: KeysByUser,
    failures: Map<String, Value>,
}

pub(super) async fn query(
    State(keys): State<Keys>,
    requester: Requester,
    Json(body): Json<Query>,
) -> Result<Json<Queried>, ApiError> {
    let found = keys.query(&requester, &body.device_keys).await?;
    Ok(Json(Queried {
        device_keys: found.devices,
        master_keys: found.master,
        self_signing_keys: found.self_signing,
        user_signing_keys: found.user_signing,
        failures: super::failures(found.unreachable),
    }))
}
