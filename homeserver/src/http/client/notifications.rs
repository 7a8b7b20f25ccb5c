//! `GET /notifications`: what the user was notified of, the newest first.

use axum::extract::State;
use roost_spec::push::Action;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    clock::now_ms,
    http::{ApiError, Json, Query, Routes},
    rooms::{
        Rooms,
        render::{Shown, View},
    },
    storage::Pos,
    users::Requester,
};

pub(super) fn routes() -> Routes {
    Routes::default().v3("GET", "notifications", list)
}

#[derive(Deserialize)]
struct Asked {
    from: Option<String>,
    limit: Option<u64>,
    only: Option<String>,
}

#[derive(Serialize)]
struct Page {
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
    notifications: Vec<Notification>,
}

#[derive(Serialize)]
struct Notification {
    actions: Vec<Action>,
    event: Box<RawValue>,
    read: bool,
    room_id: String,
    ts: i64,
}

const DEFAULT_LIMIT: u64 = 20;
const MAX_LIMIT: u64 = 100;

async fn list(
    State(rooms): State<Rooms>,
    requester: Requester,
    Query(asked): Query<Asked>,
) -> Result<Json<Page>, ApiError> {
    let before = match asked.from.as_deref() {
        None | Some("") => i64::MAX,
        Some(token) => {
            token.parse().map_err(|_| ApiError::invalid_param("`from` must be a `next_token` of an earlier answer."))?
        }
    };
    let limit = asked.limit.unwrap_or(DEFAULT_LIMIT).min(MAX_LIMIT);
    let limit = usize::try_from(limit).unwrap_or(0);
    let only_highlights = match asked.only.as_deref() {
        None => false,
        Some("highlight") => true,
        Some(_) => return Err(ApiError::invalid_param("`only` is `highlight`, or not there.")),
    };
    let found = rooms.notifications(requester.user, (Pos(0), Pos(before)), limit, only_highlights).await?;
    let next_token = found.last().filter(|_| found.len() == limit).and_then(|last| last.event.pos);
    let shown: Vec<Shown> = found.iter().map(|notification| notification.event.clone().into()).collect();
    let view = View { device: Some(requester.device), now: now_ms(), room_id: true, previous: false };
    let events = rooms.render(&shown, &view).await?;
    let notifications = found.into_iter().zip(events).map(|(notification, event)| Notification {
        actions: notification.actions,
        event,
        read: notification.read,
        room_id: notification.room.id.to_string(),
        ts: notification.event.ts,
    });
    Ok(Json(Page { next_token: next_token.map(|pos| pos.0.to_string()), notifications: notifications.collect() }))
}
