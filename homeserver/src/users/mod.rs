//! Users: accounts, devices, access tokens and profiles, and who is asking.
//!
//! A revoke (logout, lock, another password, a deleted device) and its notice are one commit of the log, answered when this
//! node's own cache has dropped what it revokes. Whoever is cut off or killed anywhere on the way leaves both done, or neither.
//!
//! **Invariant:** no rooms here; what spans users and rooms lives in `account`.

mod account_data;
mod accounts;
mod cache;
mod devices;
mod directory;
mod error;
mod moments;
mod names;
mod openid;
mod password;
mod profile;
mod push_rules;
mod refresh;
mod register;
mod registration_tokens;
mod revoke;
mod secret;
mod seen;
mod session;
mod shared_secret;
mod turns;
mod uia;
mod usage;
mod watch;
mod words;

use std::sync::Arc;

use ruma::{OwnedDeviceId, OwnedServerName, OwnedUserId, ServerName, UserId};
use sqlx::PgPool;

pub use self::{
    account_data::{AccountData, AccountDataError, GLOBAL},
    accounts::{AccountError, AccountInfo},
    cache::TokenCache,
    devices::DeviceInfo,
    directory::DirectoryUser,
    error::LoginError,
    moments::Moments,
    names::NameError,
    openid::OpenId,
    profile::{Field, Profile, ProfileError},
    push_rules::{PUSH_RULES, PushRules, PushRulesError},
    refresh::{RefreshError, Refreshed},
    register::{Made, NewAccount, RegisterError},
    registration_tokens::TokenError,
    secret::{Password, Token},
    session::{AuthError, LogIn, LoggedIn, Session},
    shared_secret::{SharedSecretError, SharedSecretRequest},
    turns::Turns,
    uia::{Answer, Challenge, Doubt, Ends, Flows, Interacted, Operation, Proof, Stage},
    watch::Watcher,
    words::words,
};
use crate::{
    config::{Registration, RegistrationMode},
    log::Writer,
    storage::{self, DeviceNr, Interner, UserNr},
};

/// Who is asking: had only by a valid access token.
#[derive(Debug, Clone)]
pub struct Requester {
    pub user: UserNr,
    pub user_id: OwnedUserId,
    pub device: DeviceNr,
    pub device_id: OwnedDeviceId,
    pub admin: bool,
    /// Reads, leaves rooms and redacts, and does little else.
    pub suspended: bool,
}

/// What [`Users`] stands on.
pub struct Parts {
    pub pool: PgPool,
    pub writer: Writer,
    pub interner: Interner,
    /// The same that the log tells about revokes.
    pub tokens: Arc<TokenCache>,
    pub server_name: OwnedServerName,
    pub registration: Registration,
}

/// The users of this server. Cheap to clone.
#[derive(Clone)]
pub struct Users(Arc<Inner>);

struct Inner {
    pool: PgPool,
    writer: Writer,
    interner: Interner,
    tokens: Arc<TokenCache>,
    server_name: OwnedServerName,
    registration: Registration,
    hasher: password::Hasher,
    seen: seen::Seen,
    moments: Arc<Moments>,
}

impl Users {
    /// The service over its parts.
    pub fn new(parts: Parts) -> Self {
        let Parts { pool, writer, interner, tokens, server_name, registration } = parts;
        Self(Arc::new(Inner {
            pool,
            writer,
            interner,
            tokens,
            server_name,
            registration,
            hasher: password::Hasher::new(),
            seen: seen::Seen::default(),
            moments: Arc::default(),
        }))
    }

    /// For a command, beside the nodes or without any: they act on what it does at once.
    pub fn outside(pool: &PgPool, server_name: &ServerName) -> Self {
        Self::new(Parts {
            pool: pool.clone(),
            writer: Writer::Outside(pool.clone()),
            interner: Interner::new(pool.clone()),
            tokens: Arc::default(),
            server_name: server_name.to_owned(),
            registration: Registration::default(),
        })
    }

    /// How often users' device lists are told: for all who change them.
    pub fn moments(&self) -> Arc<Moments> {
        Arc::clone(&self.0.moments)
    }

    /// The server's name.
    pub fn server_name(&self) -> &ServerName {
        &self.0.server_name
    }

    /// Who may make an account.
    pub fn registration_mode(&self) -> RegistrationMode {
        self.0.registration.mode
    }

    /// The number of a local user that exists.
    ///
    /// # Errors
    /// The database's own.
    pub async fn local(&self, user_id: &UserId) -> storage::Result<Option<UserNr>> {
        if user_id.server_name() != self.0.server_name {
            return Ok(None);
        }
        let account = storage::account::by_localpart(&self.0.pool, user_id.localpart()).await?;
        Ok(account.map(|account| account.usr))
    }
}
