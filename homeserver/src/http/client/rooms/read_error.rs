//! How reading a room fails, and how its events are shown.

use serde_json::value::RawValue;

use crate::{
    clock,
    http::ApiError,
    rooms::{
        Rooms,
        access::ReadError,
        filter::EventFilter,
        render::{Shown, View},
    },
    users::Requester,
};

impl From<ReadError> for ApiError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Forbidden => Self::forbidden("You are not in this room, and it is not open to the world."),
            ReadError::NotFound => Self::not_found("The room has no such event that you may see."),
            ReadError::Storage(error) => error.into(),
        }
    }
}

/// How events are shown outside of `/sync`.
pub(super) fn view(requester: &Requester) -> View {
    View { device: Some(requester.device), now: clock::now_ms(), room_id: true, previous: true }
}

/// Events as the requester sees them.
pub(super) async fn show(
    rooms: &Rooms,
    requester: &Requester,
    events: impl IntoIterator<Item = impl Into<Shown>>,
) -> Result<Vec<Box<RawValue>>, ApiError> {
    let shown: Vec<Shown> = events.into_iter().map(Into::into).collect();
    Ok(rooms.render(&shown, &view(requester)).await?)
}

/// A `RoomEventFilter` in a query.
pub(super) fn filter(text: Option<&str>) -> Result<EventFilter, ApiError> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(EventFilter::default()) };
    let filter: ruma::api::client::filter::RoomEventFilter = serde_json::from_str(text).map_err(|error| {
        let message = format!("The filter can't be read: {error}.");
        if error.is_data() { ApiError::bad_json(message) } else { ApiError::not_json(message) }
    })?;
    Ok(filter.into())
}
