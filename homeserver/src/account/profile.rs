//! Setting a profile's field, and showing it in the user's rooms.

use serde_json::value::RawValue;

use super::Account;
use crate::{
    rooms::{Author, WriteError},
    users::{Field, ProfileError, Requester},
};

/// Why a profile was not set, or not shown everywhere.
#[derive(Debug, thiserror::Error)]
pub enum SetProfileError {
    #[error(transparent)]
    Profile(#[from] ProfileError),
    #[error(transparent)]
    Rooms(#[from] WriteError),
}

impl Account {
    /// Sets a field, or removes it with `None`; with `propagate` returns when the user's rooms show it.
    ///
    /// # Errors
    /// See [`SetProfileError`].
    pub async fn set_profile(
        &self,
        requester: &Requester,
        field: &Field,
        value: Option<&RawValue>,
        propagate: bool,
    ) -> Result<(), SetProfileError> {
        let changed = self.0.users.set_profile(requester.user, field, value).await?;
        if changed && propagate && field.is_shown_in_rooms() {
            self.0.rooms.republish_profile(&Author::from(requester)).await?;
        }
        Ok(())
    }
}
