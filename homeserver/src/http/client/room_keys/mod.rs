//! `/room_keys/…`: server-side backups of room keys.

mod sessions;
mod stream;
mod version;

use axum::http::StatusCode;

use crate::{
    http::{ApiError, Routes},
    keys::BackupError,
};

pub(super) fn routes() -> Routes {
    let routes = Routes::default()
        .v3("POST", "room_keys/version", version::create)
        .v3("GET", "room_keys/version", version::current)
        .v3("GET", "room_keys/version/{version}", version::get)
        .v3("PUT", "room_keys/version/{version}", version::update)
        .v3("DELETE", "room_keys/version/{version}", version::delete);
    routes
        .v3("PUT", "room_keys/keys", sessions::put_all)
        .v3("GET", "room_keys/keys", sessions::get_all)
        .v3("DELETE", "room_keys/keys", sessions::delete_all)
        .v3("PUT", "room_keys/keys/{room_id}", sessions::put_room)
        .v3("GET", "room_keys/keys/{room_id}", sessions::get_room)
        .v3("DELETE", "room_keys/keys/{room_id}", sessions::delete_room)
        .v3("PUT", "room_keys/keys/{room_id}/{session_id}", sessions::put_one)
        .v3("GET", "room_keys/keys/{room_id}/{session_id}", sessions::get_one)
        .v3("DELETE", "room_keys/keys/{room_id}/{session_id}", sessions::delete_one)
}

/// Versions are numbers to us and opaque strings to clients: what is no number names no version.
fn number(version: &str) -> Result<i64, ApiError> {
    version.parse().map_err(|_| BackupError::NoVersion.into())
}

impl From<BackupError> for ApiError {
    fn from(error: BackupError) -> Self {
        match error {
            BackupError::NoVersion | BackupError::NoSession => Self::not_found(error.to_string()),
            BackupError::WrongVersion { current } => {
                Self::new(StatusCode::FORBIDDEN, "M_WRONG_ROOM_KEYS_VERSION", error.to_string())
                    .with("current_version", current.to_string())
            }
            BackupError::OtherAlgorithm | BackupError::OtherVersion => Self::invalid_param(error.to_string()),
            BackupError::TooLarge | BackupError::TooMuch => Self::too_large(error.to_string()),
            BackupError::Storage(error) => error.into(),
        }
    }
}
