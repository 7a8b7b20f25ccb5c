//! `/pushers`: where a user's notifications go.

use axum::{extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    http::{ApiError, Json, Routes},
    push::{Push, Pusher, PusherData, PushersError, SetPusher, Stored},
    users::Requester,
};

pub(super) fn routes() -> Routes {
    Routes::default().v3("GET", "pushers", list).v3("POST", "pushers/set", set)
}

#[derive(Serialize)]
struct Pushers {
    pushers: Vec<Pusher>,
}

async fn list(State(push): State<Push>, requester: Requester) -> Result<Json<Pushers>, ApiError> {
    Ok(Json(Pushers { pushers: push.pushers(requester.user).await? }))
}

#[derive(Deserialize)]
struct Body {
    app_id: String,
    pushkey: String,
    /// `null` takes the pusher away.
    #[serde(deserialize_with = "there")]
    kind: Option<String>,
    app_display_name: Option<String>,
    device_display_name: Option<String>,
    profile_tag: Option<String>,
    lang: Option<String>,
    data: Option<PusherData>,
    #[serde(default)]
    append: bool,
    #[serde(default = "yes", rename = "org.matrix.msc3881.enabled")]
    enabled: bool,
}

fn yes() -> bool {
    true
}

/// `null`, but not left out.
fn there<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Option::deserialize(deserializer)
}

async fn set(State(push): State<Push>, requester: Requester, Json(body): Json<Body>) -> Result<Json<Value>, ApiError> {
    let Some(kind) = body.kind else {
        push.delete_pusher(&requester, &body.app_id, &body.pushkey).await?;
        return Ok(Json(json!({})));
    };
    let missing = |name: &str| ApiError::missing_param(format!("`{name}` must be there."));
    let rest = Stored {
        kind,
        app_display_name: body.app_display_name.ok_or_else(|| missing("app_display_name"))?,
        device_display_name: body.device_display_name.ok_or_else(|| missing("device_display_name"))?,
        profile_tag: body.profile_tag,
        lang: body.lang.ok_or_else(|| missing("lang"))?,
        data: body.data.ok_or_else(|| missing("data"))?,
    };
    let wish =
        SetPusher { app_id: body.app_id, pushkey: body.pushkey, rest, append: body.append, enabled: body.enabled };
    push.set_pusher(&requester, wish).await?;
    Ok(Json(json!({})))
}

impl From<PushersError> for ApiError {
    fn from(error: PushersError) -> Self {
        match error {
            PushersError::TooLarge => Self::too_large(error.to_string()),
            PushersError::Format => Self::bad_json(error.to_string()),
            PushersError::Length | PushersError::Gateway(_) | PushersError::Kind => {
                Self::invalid_param(error.to_string())
            }
            PushersError::TooMany => Self::new(StatusCode::BAD_REQUEST, "M_LIMIT_EXCEEDED", error.to_string()),
            PushersError::Storage(error) => error.into(),
        }
    }
}
