//! Operations on a user that reach into rooms: leaving the server, a profile that rooms show, what goes along when a
//! room replaces another.
//!
//! **Invariant:** what users or rooms can do alone does not stand here.

mod carry_over;
mod departure;
mod profile;

use std::sync::Arc;

use crate::{
    rooms::Rooms,
    users::{AccountData, PushRules, TokenCache, Users},
};

pub use profile::SetProfileError;

/// The service. Cheap to clone.
#[derive(Clone)]
pub struct Account(Arc<Inner>);

struct Inner {
    users: Users,
    rooms: Rooms,
    tokens: Arc<TokenCache>,
    push_rules: PushRules,
    account_data: AccountData,
}

impl Account {
    /// Over `users` and `rooms`; `tokens` hears when accounts change on other nodes.
    pub fn new(
        users: Users,
        rooms: Rooms,
        tokens: Arc<TokenCache>,
        push_rules: PushRules,
        account_data: AccountData,
    ) -> Self {
        Self(Arc::new(Inner { users, rooms, tokens, push_rules, account_data }))
    }
}
