//! Where a server is reached: "Resolving server names" of the server-server API.
//!
//! - [`Discovery`] follows the specification's steps and remembers what well-known files said
//! - [`Network`] is what it asks; [`Internet`] the one that there is: DNS, and HTTPS for well-known files
//!
//! **Invariant:** a question that failed is never taken for the answer "there is none": only a name server's own word for it
//! leads to the next step. Nothing here connects to the server that was found.

mod endpoint;
mod internet;
mod order;
mod remembered;
mod steps;
mod well_known;

pub use self::{
    endpoint::{Endpoint, Service, Step},
    internet::{Internet, SetupError},
    order::Srv,
    steps::{Discovery, DiscoveryError, Network, NetworkError},
    well_known::Answer,
};
