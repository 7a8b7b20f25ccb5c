//! How reading a room fails, and how its events are shown.

use serde_json::value::RawValue;

use crate::{
    clock,
    http::ApiError,
    rooms::{
        Rooms,
        access::ReadError,
        filter::{EventFilter, RelationFilter},
        render::{Shown, View},
    },
    sync::Sync,
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
pub(in crate::http::client) async fn show(
    rooms: &Rooms,
    requester: &Requester,
    events: impl IntoIterator<Item = impl Into<Shown>>,
) -> Result<Vec<Box<RawValue>>, ApiError> {
    let shown: Vec<Shown> = events.into_iter().map(Into::into).collect();
    Ok(rooms.render(&shown, &view(requester)).await?)
}

/// As [`show`], each with the sums of what relates to it.
pub(super) async fn show_bundled(
    rooms: &Rooms,
    sync: &Sync,
    requester: &Requester,
    events: impl IntoIterator<Item = impl Into<Shown>>,
) -> Result<Vec<Box<RawValue>>, ApiError> {
    let shown: Vec<Shown> = events.into_iter().map(Into::into).collect();
    let ignored = sync.ignored(requester.user).await?;
    Ok(rooms.render_bundled(&shown, &view(requester), requester.user, &ignored).await?)
}

/// A `RoomEventFilter` in a query.
pub(in crate::http::client) fn filter(text: Option<&str>) -> Result<EventFilter, ApiError> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(EventFilter::default()) };
    let mut filter = EventFilter::from(read::<ruma::api::client::filter::RoomEventFilter>(text)?);
    filter.relations = read::<RelationFilter>(text)?;
    Ok(filter)
}

fn read<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, ApiError> {
    serde_json::from_str(text).map_err(|error| {
        let message = format!("The filter can't be read: {error}.");
        if error.is_data() { ApiError::bad_json(message) } else { ApiError::not_json(message) }
    })
}
