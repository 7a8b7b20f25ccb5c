//! What handlers can reach: `State<Rooms>`, `State<Users>` and so on are taken out of [`Api`].

use super::{Health, Limits, Site};
use crate::{
    account::Account,
    keys::{Identity, Keys},
    log::Log,
    media::Media,
    presence::Presence,
    push::Push,
    rooms::Rooms,
    sync::Sync,
    users::{AccountData, PushRules, Users},
};

/// The domain rooms, each cheap to clone.
#[derive(Clone)]
pub struct Api {
    pub log: Log,
    pub health: Health,
    pub limits: Limits,
    pub site: Site,
    pub identity: Identity,
    pub users: Users,
    pub account: Account,
    pub account_data: AccountData,
    pub keys: Keys,
    pub presence: Presence,
    pub rooms: Rooms,
    pub media: Media,
    pub push: Push,
    pub push_rules: PushRules,
    pub sync: Sync,
}

/// One line a room: lets a handler ask for exactly what it uses.
macro_rules! reachable {
    ($($field:ident: $kind:ty),* $(,)?) => {
        $(impl axum::extract::FromRef<Api> for $kind {
            fn from_ref(api: &Api) -> Self {
                api.$field.clone()
            }
        })*
    };
}

reachable! {
    log: Log,
    health: Health,
    limits: Limits,
    site: Site,
    identity: Identity,
    users: Users,
    account: Account,
    account_data: AccountData,
    keys: Keys,
    presence: Presence,
    rooms: Rooms,
    media: Media,
    push: Push,
    push_rules: PushRules,
    sync: Sync,
}
