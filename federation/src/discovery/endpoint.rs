//! What was found.

use std::{fmt, net::SocketAddr};

use ruma_common::OwnedServerName;

/// Where a server is reached, and whom it must prove to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// To be tried one after the other; never empty.
    pub addresses: Vec<SocketAddr>,
    /// The `Host` header of requests.
    pub host: String,
    /// The hostname or IP address (without brackets) that the server's certificate must be valid for.
    pub certificate_name: String,
    /// The name that the well-known file leads to.
    pub delegated: Option<OwnedServerName>,
    /// How the addresses were found, of the delegated name or of the server's own.
    pub step: Step,
}

/// What led from a name to addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The name is an IP address (steps 1 and 3.1).
    Literal,
    /// The name has a port (steps 2 and 3.2).
    Port,
    /// An SRV record (steps 3.3, 3.4, 4 and 5).
    Srv(Service),
    /// Nothing: the host itself, at port 8448 (steps 3.5 and 6).
    Default,
}

/// The names under which SRV records are looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// `_matrix-fed._tcp`
    MatrixFed,
    /// `_matrix._tcp`, deprecated.
    Matrix,
}

impl Service {
    /// In the order in which they are asked for.
    pub(super) const ALL: [Self; 2] = [Self::MatrixFed, Self::Matrix];

    /// The name of a host's record.
    #[must_use]
    pub fn record(self, host: &str) -> String {
        format!("{self}.{host}")
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MatrixFed => "_matrix-fed._tcp",
            Self::Matrix => "_matrix._tcp",
        })
    }
}
