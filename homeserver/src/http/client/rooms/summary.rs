//! `GET /_matrix/client/v1/room_summary/{roomIdOrAlias}`

use axum::extract::State;
use ruma::OwnedRoomOrAliasId;
use serde::Serialize;

use crate::{
    http::{ApiError, Json, Path, Routes},
    rooms::{
        Rooms,
        access::ReadError,
        card::{Card, Outside},
    },
    users::Requester,
};

pub(super) fn routes() -> Routes {
    let old = "/_matrix/client/unstable/im.nheko.summary";
    Routes::default()
        .v1("GET", "room_summary/{roomIdOrAlias}", summary)
        .at("GET", &format!("{old}/summary/{{roomIdOrAlias}}"), summary)
        .at("GET", &format!("{old}/rooms/{{roomIdOrAlias}}/summary"), summary)
}

#[derive(Serialize)]
struct Answer {
    #[serde(flatten)]
    card: Card,
    #[serde(flatten)]
    outside: Outside,
    #[serde(skip_serializing_if = "Option::is_none")]
    membership: Option<&'static str>,
}

/// Needs no access token where anybody may know of the room.
async fn summary(
    State(rooms): State<Rooms>,
    requester: Option<Requester>,
    Path(room): Path<OwnedRoomOrAliasId>,
) -> Result<Json<Answer>, ApiError> {
    let user = requester.map(|requester| requester.user);
    let summary = rooms.summary(user, &room).await.map_err(|error| match error {
        ReadError::NotFound | ReadError::Forbidden => {
            ApiError::not_found("There is no such room that you may know of.")
        }
        ReadError::Storage(error) => error.into(),
    })?;
    let card = (*summary.card).clone();
    Ok(Json(Answer {
        outside: card.outside.clone(),
        card,
        membership: summary.membership.map(|membership| membership.as_str()),
    }))
}
