//! What clients are told about this server as a whole.

use std::sync::Arc;

use roost_spec::room_version::RoomVersion;

use crate::config::Config;

/// The server as clients see it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Site {
    server_name: Arc<str>,
    public_url: Arc<str>,
    delegate: Option<Arc<str>>,
    default_room_version: RoomVersion,
}

impl Site {
    /// The server that a configuration describes.
    pub fn new(config: &Config) -> Self {
        // Nobody is led to a server that does not answer other servers.
        let delegate = config.federation.delegate.as_deref().filter(|_| config.federation.enabled);
        Self {
            server_name: config.server_name.as_str().into(),
            public_url: config.public_url().into(),
            delegate: delegate.map(Into::into),
            default_room_version: config.rooms.default_version,
        }
    }

    /// The part of user IDs after the colon.
    pub fn server_name(&self) -> &str {
        &self.server_name
    }

    /// Where clients reach the server, without a trailing slash.
    pub fn public_url(&self) -> &str {
        &self.public_url
    }

    /// Where other servers reach this one, if not at its name.
    pub fn delegate(&self) -> Option<&str> {
        self.delegate.as_deref()
    }

    /// The version of rooms whose creator names none.
    pub fn default_room_version(&self) -> &str {
        self.default_room_version.as_str()
    }
}
