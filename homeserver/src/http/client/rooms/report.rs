//! `POST /rooms/{roomId}/report[/{eventId}]` and `POST /users/{userId}/report`

use axum::extract::State;
use ruma::{OwnedEventId, OwnedRoomId, OwnedUserId};
use serde::{Deserialize, Serialize};

use crate::{
    http::{ApiError, Json, Path, Routes},
    rooms::{ReportError, Rooms},
    users::Requester,
};

pub(super) fn routes() -> Routes {
    Routes::default().v3("POST", "rooms/{roomId}/report", room).v3("POST", "rooms/{roomId}/report/{eventId}", event).v3(
        "POST",
        "users/{userId}/report",
        user,
    )
}

#[derive(Deserialize)]
struct Body {
    reason: String,
}

#[derive(Deserialize)]
struct EventBody {
    reason: Option<String>,
    /// Gone since version 1.18; older clients send it.
    score: Option<i64>,
}

#[derive(Serialize)]
struct Done {}

async fn room(
    State(rooms): State<Rooms>,
    requester: Requester,
    Path(room): Path<OwnedRoomId>,
    Json(body): Json<Body>,
) -> Result<Json<Done>, ApiError> {
    rooms.report_room(requester.user, &room, &body.reason).await?;
    Ok(Json(Done {}))
}

async fn event(
    State(rooms): State<Rooms>,
    requester: Requester,
    Path((room, event)): Path<(OwnedRoomId, OwnedEventId)>,
    Json(body): Json<EventBody>,
) -> Result<Json<Done>, ApiError> {
    let reason = body.reason.unwrap_or_default();
    rooms.report_event(requester.user, &room, &event, &reason, body.score).await?;
    Ok(Json(Done {}))
}

async fn user(
    State(rooms): State<Rooms>,
    requester: Requester,
    Path(user): Path<OwnedUserId>,
    Json(body): Json<Body>,
) -> Result<Json<Done>, ApiError> {
    rooms.report_user(requester.user, &user, &body.reason).await?;
    Ok(Json(Done {}))
}

impl From<ReportError> for ApiError {
    fn from(error: ReportError) -> Self {
        match error {
            ReportError::UnknownRoom => Self::not_found("There is no such room here."),
            ReportError::UnknownEvent => Self::not_found("There is no such event in a room that you are in."),
            ReportError::TooLong => Self::too_large("The reason is too long."),
            ReportError::Storage(error) => error.into(),
        }
    }
}
