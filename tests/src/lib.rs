//! The bench on which Roost is tested from outside: real processes, real sockets, real foreign clients.
//!
//! - [`quickstart`], [`cluster`]: servers as an operator starts them; [`shared`]: one of each that light tests share
//! - [`postgres`], [`nats`], [`node`], [`process`]: the parts, each of which can be killed, stopped and restarted
//! - [`cli`]: the `roost` command line
//! - [`http`], [`user`], [`sync`], [`timeline`]: a plain Matrix client over HTTP, so that tests read like stories
//! - [`keys`]: a device's encryption keys, made and signed as a client makes them
//! - [`driver`]: foreign clients behind JSON lines (`tests/clients/README.md` is their language); [`client`]: one of them, logged in
//! - [`authority`], [`dns`]: certificates and names of a test's own
//! - [`turn`]: what may run at the same time; [`seed`]: repeatable chance; [`scratch`]: temp folders, and a janitor that outlives a killed test
//!
//! **Invariant:** nothing here links Roost's own code; a server is known only by its address, its process and its database.

pub mod authority;
pub mod cli;
pub mod client;
pub mod cluster;
pub mod dns;
pub mod driver;
pub mod gateway;
pub mod http;
pub mod keys;
pub mod nats;
pub mod node;
pub mod port;
pub mod postgres;
pub mod process;
pub mod quickstart;
pub mod scratch;
pub mod seed;
pub mod shared;
pub mod sliding;
pub mod sync;
pub mod timeline;
pub mod turn;
pub mod user;

pub use cluster::Cluster;
pub use http::{Reply, Server};
pub use quickstart::Quickstart;
pub use user::User;
