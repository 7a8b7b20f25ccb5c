//! Operations on a user that reach into rooms: leaving the server, and a profile that rooms show.
//!
//! **Invariant:** what users or rooms can do alone does not stand here.

mod departure;
mod profile;

use std::sync::Arc;

use crate::{
    rooms::Rooms,
    users::{TokenCache, Users},
};

pub use profile::SetProfileError;

/// The service. Cheap to clone.
#[derive(Clone)]
pub struct Account(Arc<Inner>);

struct Inner {
    users: Users,
    rooms: Rooms,
    tokens: Arc<TokenCache>,
}

impl Account {
    /// Over `users` and `rooms`; `tokens` hears when accounts change on other nodes.
    pub fn new(users: Users, rooms: Rooms, tokens: Arc<TokenCache>) -> Self {
        Self(Arc::new(Inner { users, rooms, tokens }))
    }
}
