//! `GET /_matrix/client/v3/pushrules/`

use axum::extract::State;
use roost_spec::push::Ruleset;
use serde::Serialize;

use crate::{
    http::{ApiError, Json},
    users::{PushRules, Requester},
};

#[derive(Serialize)]
pub(super) struct All {
    global: Ruleset,
}

pub(super) async fn all(State(rules): State<PushRules>, requester: Requester) -> Result<Json<All>, ApiError> {
    Ok(Json(All { global: rules.of(requester.user, requester.user_id.as_str()).await? }))
}

pub(super) async fn global(State(rules): State<PushRules>, requester: Requester) -> Result<Json<Ruleset>, ApiError> {
    Ok(Json(rules.of(requester.user, requester.user_id.as_str()).await?))
}
