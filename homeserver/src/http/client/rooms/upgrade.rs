//! `POST /rooms/{roomId}/upgrade`

use axum::{extract::State, http::StatusCode};
use ruma::{OwnedRoomId, OwnedUserId};
use serde::{Deserialize, Serialize};

use crate::{
    account::Account,
    http::{ApiError, Json, Path, Routes},
    rooms::{Author, Rooms, UpgradeError},
    users::Requester,
};

pub(super) fn routes() -> Routes {
    Routes::default().v3("POST", "rooms/{roomId}/upgrade", upgrade)
}

#[derive(Deserialize)]
struct Body {
    new_version: String,
    #[serde(default)]
    additional_creators: Vec<OwnedUserId>,
}

#[derive(Serialize)]
struct Upgraded {
    replacement_room: OwnedRoomId,
}

async fn upgrade(
    State(rooms): State<Rooms>,
    State(account): State<Account>,
    requester: Requester,
    Path(room): Path<OwnedRoomId>,
    Json(body): Json<Body>,
) -> Result<Json<Upgraded>, ApiError> {
    let author = Author::from(&requester);
    let replacement_room = rooms.upgrade(&author, &room, &body.new_version, &body.additional_creators).await?;
    account.carry_over(&requester, &replacement_room).await;
    Ok(Json(Upgraded { replacement_room }))
}

impl From<UpgradeError> for ApiError {
    fn from(error: UpgradeError) -> Self {
        match error {
            UpgradeError::UnsupportedVersion(_) => {
                Self::new(StatusCode::BAD_REQUEST, "M_UNSUPPORTED_ROOM_VERSION", format!("{error}."))
            }
            UpgradeError::Create(error) => error.into(),
            UpgradeError::Alias(error) => error.into(),
            UpgradeError::Write(error) => error.into(),
        }
    }
}
