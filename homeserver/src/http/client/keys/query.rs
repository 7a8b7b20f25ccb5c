//! `POST /_matrix/client/v3/keys/query`

use std::collections::BTreeMap;

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use ruma::{OwnedUserId, UserId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, value::RawValue};

use crate::{
    http::{ApiError, Json},
    keys::{Keys, Queried},
    users::Requester,
};

#[derive(Deserialize)]
pub(super) struct Query {
    device_keys: BTreeMap<OwnedUserId, Vec<String>>,
    /// Checked, and without effect while no other server is asked.
    #[serde(rename = "timeout")]
    _timeout: Option<u64>,
}

type KeysByUser<'a> = BTreeMap<&'a UserId, &'a RawValue>;

#[derive(Serialize)]
struct Answer<'a> {
    device_keys: BTreeMap<&'a UserId, BTreeMap<&'a str, &'a RawValue>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    master_keys: KeysByUser<'a>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    self_signing_keys: KeysByUser<'a>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    user_signing_keys: KeysByUser<'a>,
    failures: Map<String, Value>,
}

pub(super) async fn query(
    State(keys): State<Keys>,
    requester: Requester,
    Json(body): Json<Query>,
) -> Result<Response, ApiError> {
    let (queried, unreachable) = keys.query(&requester, body.device_keys.keys()).await?;
    let of = |kind: fn(&Queried) -> Option<&RawValue>| {
        queried.iter().filter_map(|user| Some((&*user.user_id, kind(user)?))).collect()
    };
    let devices = |user: &'_ Queried| body.device_keys.get(&user.user_id).map(Vec::as_slice).unwrap_or_default();
    Ok(Json(Answer {
        device_keys: queried.iter().map(|user| (&*user.user_id, user.devices(devices(user)))).collect(),
        master_keys: of(Queried::master),
        self_signing_keys: of(Queried::self_signing),
        user_signing_keys: of(Queried::user_signing),
        failures: super::failures(unreachable),
    })
    .into_response())
}
