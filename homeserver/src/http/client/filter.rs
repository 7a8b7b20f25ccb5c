//! `POST` and `GET /user/{userId}/filter`

use axum::{
    extract::State,
    http::header::CONTENT_TYPE,
    response::{IntoResponse, Response},
};
use ruma::OwnedUserId;
use serde::Serialize;

use crate::{
    http::{ApiError, Json, Path, RawObject, Routes},
    sync::{FilterError, Sync},
    users::Requester,
};

pub(super) fn routes() -> Routes {
    Routes::default().v3("POST", "user/{user_id}/filter", store).v3("GET", "user/{user_id}/filter/{filter_id}", read)
}

#[derive(Debug, Serialize)]
struct Stored {
    filter_id: String,
}

/// `POST /_matrix/client/v3/user/{userId}/filter`
async fn store(
    State(sync): State<Sync>,
    requester: Requester,
    Path(user_id): Path<OwnedUserId>,
    RawObject(filter): RawObject,
) -> Result<Json<Stored>, ApiError> {
    own(&requester, &user_id)?;
    Ok(Json(Stored { filter_id: sync.store_filter(requester.user, &filter).await? }))
}

/// `GET /_matrix/client/v3/user/{userId}/filter/{filterId}`
async fn read(
    State(sync): State<Sync>,
    requester: Requester,
    Path((user_id, filter_id)): Path<(OwnedUserId, String)>,
) -> Result<Response, ApiError> {
    own(&requester, &user_id)?;
    let filter = sync.filter_json(requester.user, &filter_id).await?;
    Ok(([(CONTENT_TYPE, "application/json")], filter).into_response())
}

fn own(requester: &Requester, user_id: &OwnedUserId) -> Result<(), ApiError> {
    if requester.user_id == *user_id {
        Ok(())
    } else {
        Err(ApiError::forbidden("Filters can be stored and read by their own user only."))
    }
}

impl From<FilterError> for ApiError {
    fn from(error: FilterError) -> Self {
        match error {
            FilterError::Malformed(_) => Self::bad_json(format!("{error}.")),
            FilterError::TooMany => Self::too_large(format!("{error}.")),
            FilterError::Unknown => Self::not_found("You have stored no filter with this ID."),
            FilterError::Storage(error) => error.into(),
        }
    }
}
