//! The private PostgreSQL cluster: the database of a server that was given none.
//!
//! It lies in `DATA/postgres`, listens on a Unix socket only, and runs as a child in a process group of its own, so that
//! a Ctrl-C reaches it only after the last commit. A cluster that an earlier process left running is adopted.
//!
//! **Invariant:** no SQL stands here, no other cluster on the machine is touched, and nothing is ever initialised over an
//! existing folder.

mod account;
mod cluster;
mod error;
mod folders;
mod initialise;
mod installation;
mod lock;
mod postmaster;
mod settings;
mod tools;

pub use self::{
    account::Owner,
    cluster::{Cluster, running},
    error::ClusterError,
    lock::Holder,
    settings::Sizes,
    tools::{Tools, tls_files},
};
