//! What clients are told about this server as a whole.

use std::sync::Arc;

use roost_spec::room_version::RoomVersion;

/// The server as clients see it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Site {
    public_url: Arc<str>,
    default_room_version: RoomVersion,
}

impl Site {
    /// A server at `public_url` (without a trailing slash), whose rooms get `default_room_version` unless clients name one.
    pub fn new(public_url: &str, default_room_version: RoomVersion) -> Self {
        Self { public_url: public_url.into(), default_room_version }
    }

    /// Where clients reach the server, without a trailing slash.
    pub fn public_url(&self) -> &str {
        &self.public_url
    }

    /// The version of rooms whose creator names none.
    pub fn default_room_version(&self) -> &str {
        self.default_room_version.as_str()
    }
}
