//! A user's push rules: account data `m.push_rules`, which nobody writes but these operations.

use std::sync::Arc;

use roost_spec::push::{EditError, PushRule, RuleKind, Ruleset, When};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;

use super::{GLOBAL, Requester, Turns};
use crate::{
    log::{self, Log, Writes},
    storage::{self, UserNr, account_data, commit::AccountDataWrite},
};

/// The account data's type.
pub const PUSH_RULES: &str = "m.push_rules";

/// Push rules. Cheap to clone.
#[derive(Clone)]
pub struct PushRules {
    pool: PgPool,
    log: Log,
    turns: Arc<Turns>,
}

/// Why rules were not changed.
#[derive(Debug, thiserror::Error)]
pub enum PushRulesError {
    #[error(transparent)]
    Edit(#[from] EditError),
    #[error(
        "a user has {MOST_RULES} push rules at most, with {MOST_CONDITIONS} conditions each, which take {MAX_BYTES} bytes"
    )]
    TooMany,
    #[error(transparent)]
    Storage(#[from] storage::Error),
    #[error(transparent)]
    Log(#[from] log::Error),
}

/// So many rules of their own a user has at most, and conditions or actions of one: each may be asked of every event of a room.
const MOST_RULES: usize = 1000;
const MOST_CONDITIONS: usize = 50;
/// What all rules take as JSON.
const MAX_BYTES: usize = 256 << 10;

/// The account data's content.
#[derive(Serialize, Deserialize)]
struct Content {
    global: Ruleset,
}

impl PushRules {
    /// Push rules in the database behind `pool`, written through `log`.
    pub fn new(pool: PgPool, log: Log) -> Self {
        Self { pool, log, turns: Arc::default() }
    }

    /// The user's rules: what was changed, over the predefined ones.
    ///
    /// # Errors
    /// The database's own.
    pub async fn of(&self, user: UserNr, user_id: &str) -> storage::Result<Ruleset> {
        let stored = account_data::get(&self.pool, user, GLOBAL, PUSH_RULES).await?;
        // What is unreadable was not written by this operation: the predefined rules are the truth then.
        let stored = stored.and_then(|json| serde_json::from_str::<Content>(&json).ok());
        Ok(stored.map(|c| c.global).unwrap_or_default().with_server_default(user_id))
    }

    /// The account data's content, as sync shows it.
    ///
    /// # Errors
    /// The database's own.
    pub async fn content(&self, user: UserNr, user_id: &str) -> storage::Result<String> {
        content(self.of(user, user_id).await?)
    }

    /// Changes the user's rules by `edit`.
    ///
    /// # Errors
    /// What `edit` refuses; the database's own, or the log's.
    pub async fn change(
        &self,
        requester: &Requester,
        edit: impl FnOnce(&mut Ruleset) -> Result<(), EditError>,
    ) -> Result<(), PushRulesError> {
        let _turn = self.turns.take(requester.user, GLOBAL).await;
        let mut rules = self.of(requester.user, requester.user_id.as_str()).await?;
        let before = content(rules.clone())?;
        edit(&mut rules)?;
        let is_large = is_large(&rules);
        let json = content(rules)?;
        // Whoever has more already may still take away.
        if (is_large || json.len() > MAX_BYTES) && json.len() > before.len() {
            return Err(PushRulesError::TooMany);
        }
        if json == before {
            return Ok(());
        }
        let write = AccountDataWrite { user: requester.user, room: GLOBAL, kind: PUSH_RULES.into(), json: json.into() };
        self.log.write(Writes { account_data: vec![write], ..Writes::default() }).await?;
        Ok(())
    }
}

fn is_large(rules: &Ruleset) -> bool {
    let own = || RuleKind::ALL.into_iter().flat_map(|kind| rules.rules(kind)).filter(|rule| !rule.default);
    let conditions = |rule: &PushRule| match &rule.when {
        When::Conditions(conditions) => conditions.len(),
        _ => 0,
    };
    own().count() > MOST_RULES || own().any(|rule| conditions(rule).max(rule.actions.len()) > MOST_CONDITIONS)
}

fn content(rules: Ruleset) -> storage::Result<String> {
    serde_json::to_string(&Content { global: rules }).map_err(|e| storage::Error::Inconsistent(e.to_string()))
}
