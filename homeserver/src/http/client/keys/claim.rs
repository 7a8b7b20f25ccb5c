//! `POST /_matrix/client/v3/keys/claim`

use std::collections::BTreeMap;

use axum::extract::State;
use ruma::{OwnedDeviceId, OwnedUserId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, value::RawValue};

use crate::{
    http::{ApiError, Json},
    keys::{Keys, Wanted},
    users::Requester,
};

#[derive(Deserialize)]
pub(super) struct Claim {
    one_time_keys: Wanted,
    /// Checked, and without effect while no other server is asked.
    #[serde(rename = "timeout")]
    _timeout: Option<u64>,
}

#[derive(Serialize)]
pub(super) struct Claimed {
    one_time_keys: BTreeMap<OwnedUserId, BTreeMap<OwnedDeviceId, BTreeMap<String, Box<RawValue>>>>,
    failures: Map<String, Value>,
}

pub(super) async fn claim(
    State(keys): State<Keys>,
    _requester: Requester,
    Json(body): Json<Claim>,
) -> Result<Json<Claimed>, ApiError> {
    let claimed = keys.claim(&body.one_time_keys).await?;
    Ok(Json(Claimed { one_time_keys: claimed.keys, failures: super::failures(claimed.unreachable) }))
}
