//! `/presence/{userId}/status`

use axum::extract::State;
use ruma::OwnedUserId;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    clock::now_ms,
    http::{ApiError, Json, Path, Routes},
    presence::{self, Presence},
    rooms::Rooms,
    users::Requester,
};

/// The longest message, in bytes.
const MAX_MESSAGE: usize = 1024;

pub(super) fn routes() -> Routes {
    Routes::default().v3("GET", "presence/{userId}/status", get).v3("PUT", "presence/{userId}/status", put)
}

#[derive(Deserialize)]
struct Body {
    presence: presence::State,
    status_msg: Option<String>,
}

async fn put(
    State(presence): State<Presence>,
    requester: Requester,
    Path(user_id): Path<OwnedUserId>,
    Json(body): Json<Body>,
) -> Result<Json<Value>, ApiError> {
    if user_id != requester.user_id {
        return Err(ApiError::forbidden("Only you can say what you are."));
    }
    if body.status_msg.as_ref().is_some_and(|message| message.len() > MAX_MESSAGE) {
        return Err(ApiError::invalid_param(format!("A status message has {MAX_MESSAGE} bytes at most.")));
    }
    let message = body.status_msg.filter(|message| !message.is_empty()).map(Into::into);
    presence.set(&requester, body.presence, message);
    Ok(Json(json!({})))
}

async fn get(
    State(presence): State<Presence>,
    State(rooms): State<Rooms>,
    requester: Requester,
    Path(user_id): Path<OwnedUserId>,
) -> Result<Json<Value>, ApiError> {
    let user = rooms.interner().find(user_id.as_str()).await?;
    let user = user.ok_or_else(|| ApiError::not_found("Nothing is known of this user."))?;
    if user != requester.user && !rooms.share_a_room(user, requester.user).await? {
        return Err(ApiError::forbidden("You see only those with whom you share a room."));
    }
    let status = presence.status(user);
    let mut answer = json!({ "presence": status.state });
    if status.active_ts > 0 {
        answer["last_active_ago"] = (now_ms() - status.active_ts).max(0).into();
    }
    if status.state != presence::State::Offline {
        answer["currently_active"] = (status.state == presence::State::Online).into();
    }
    if let Some(message) = status.message {
        answer["status_msg"] = (*message).into();
    }
    Ok(Json(answer))
}
