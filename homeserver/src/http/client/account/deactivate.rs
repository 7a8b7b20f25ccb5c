//! `POST /account/deactivate`

use axum::extract::State;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    http::{ApiError, Json, OptionalJson, Routes, Uia},
    users::{Requester, Users},
};

pub(super) fn routes() -> Routes {
    Routes::default().v3("POST", "account/deactivate", deactivate)
}

#[derive(Deserialize)]
struct Body {
    auth: Option<Value>,
    #[serde(default)]
    erase: bool,
}

async fn deactivate(
    State(users): State<Users>,
    requester: Requester,
    uia: Uia,
    OptionalJson(body): OptionalJson<Body>,
) -> Result<Json<Value>, ApiError> {
    uia.require_password(&requester, body.auth.as_ref()).await?;
    users.deactivate(requester.user_id.as_str(), body.erase).await?;
    // There are no third-party identifiers to unbind.
    Ok(Json(json!({ "id_server_unbind_result": "no-support" })))
}
