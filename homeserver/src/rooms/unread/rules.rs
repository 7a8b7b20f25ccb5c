//! A user's push rules as an evaluation needs them.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use roost_spec::{
    canonical_json::Object,
    push::{Action, Actions, CompiledRuleset, Condition, Context, FlatEvent, PushRule, RuleKind, Ruleset, When},
};
use serde::{Deserialize, de::IgnoredAny};

use crate::{
    rooms::Rooms,
    storage::{self, Result, UserNr, unread::Settings},
};

/// Push rules, compiled.
#[derive(Debug)]
pub struct Rules {
    /// What the user changed; `None` where that is nothing.
    changed: Option<(Ruleset, Ruleset)>,
    compiled: Arc<CompiledRuleset>,
    /// Whose events they do not want to hear of, by user ID.
    ignored: HashSet<String>,
}

#[derive(Deserialize, Default)]
struct IgnoredUsers {
    #[serde(default)]
    ignored_users: HashMap<String, IgnoredAny>,
}

#[derive(Deserialize)]
struct Content {
    global: Ruleset,
}

/// Whoever says the ordinary message that tells whether a room is silent for somebody.
const SOMEBODY: &str = "@:";
/// A room of more than two.
const SEVERAL: u64 = 3;

impl Rules {
    /// The rules that the content of `m.push_rules` says, over the predefined ones, and who is ignored.
    pub(super) fn new(settings: &Settings, user_id: &str) -> Self {
        let ignored = settings.ignored.as_deref().and_then(|json| serde_json::from_str::<IgnoredUsers>(json).ok());
        let ignored = ignored.unwrap_or_default().ignored_users.into_keys().collect();
        let json = settings.rules.as_deref();
        // What is unreadable was not written by this server: the predefined rules are the truth then.
        let stored = json.and_then(|json| serde_json::from_str::<Content>(json).ok());
        if let Some(stored) = stored {
            let (rules, default) = (stored.global.with_server_default(user_id), Ruleset::server_default(user_id));
            if rules != default {
                let compiled = Arc::new(CompiledRuleset::new(&rules, user_id));
                return Self { changed: Some((rules, default)), compiled, ignored };
            }
        }
        Self { changed: None, compiled: CompiledRuleset::server_default(), ignored }
    }

    /// Whether they are the predefined ones.
    pub(super) fn is_default(&self) -> bool {
        self.changed.is_none()
    }

    /// Whether the predefined rules are all that can decide in `room_id`.
    pub(super) fn is_default_in(&self, room_id: &str) -> bool {
        let Some((rules, default)) = &self.changed else { return true };
        RuleKind::ALL.into_iter().all(|kind| {
            let matter = rules.rules(kind).iter().filter(|rule| matters(kind, rule, room_id));
            matter.eq(default.rules(kind).iter())
        })
    }

    /// Whether ordinary messages of the room do not notify the user.
    pub(super) fn is_quiet_in(&self, room_id: &str) -> bool {
        if self.changed.is_none() || self.is_default_in(room_id) {
            return false;
        }
        let message = FlatEvent::of_draft("m.room.message", SOMEBODY, None, &Object::default(), room_id);
        let context =
            Context { user_id: "", display_name: None, member_count: SEVERAL, power: None, mentions_in_body: true };
        !self.compiled.evaluate(&message, &context).notify()
    }

    /// Whom the user ignores.
    pub(super) fn ignored(&self) -> impl Iterator<Item = &str> {
        self.ignored.iter().map(String::as_str)
    }

    /// What the event is to the user.
    pub fn evaluate(&self, event: &FlatEvent, context: &Context<'_>) -> &[Action] {
        if event.sender().is_some_and(|sender| self.ignored.contains(sender)) {
            return &[];
        }
        self.compiled.evaluate(event, context)
    }
}

/// Whether a rule can decide anything in `room_id`.
fn matters(kind: RuleKind, rule: &PushRule, room_id: &str) -> bool {
    let elsewhere = |condition: &Condition| {
        matches!(condition, Condition::EventMatch { key, pattern }
            if key == "room_id" && !pattern.contains(['*', '?']) && !pattern.eq_ignore_ascii_case(room_id))
    };
    match &rule.when {
        When::RuleId if kind == RuleKind::Room => rule.rule_id == room_id,
        When::Conditions(conditions) => !conditions.iter().any(elsewhere),
        _ => true,
    }
}

impl Rooms {
    /// The push rules of `users`; one query at most.
    ///
    /// # Errors
    /// The database's own.
    pub async fn rules_of_many(&self, users: &[UserNr]) -> Result<HashMap<UserNr, Arc<Rules>>> {
        let cache = &self.0.caches.unread.rules;
        let mut found: HashMap<UserNr, Arc<Rules>> =
            users.iter().filter_map(|user| Some((*user, cache.get(*user)?))).collect();
        let missing: Vec<UserNr> = users.iter().copied().filter(|user| !found.contains_key(user)).collect();
        match missing[..] {
            [] => {}
            [user] => drop(found.insert(user, self.rules_of(user).await?)),
            _ => {
                let names = self.0.interner.texts(&missing).await?;
                let mut stored = self.settings(&missing).await?;
                for user in missing {
                    let settings = stored.remove(&user).unwrap_or_default();
                    found.insert(user, Arc::new(Rules::new(&settings, names.get(&user).map_or("", |name| name))));
                }
            }
        }
        Ok(found)
    }

    /// The settings of those of `users` who have any; no query where nobody has.
    async fn settings(&self, users: &[UserNr]) -> Result<HashMap<UserNr, Settings>> {
        let settled = &self.0.caches.unread.settled;
        let users = settled.among(users, || storage::unread::all_with_settings(&self.0.pool)).await?;
        if users.is_empty() { Ok(HashMap::new()) } else { storage::unread::settings(&self.0.pool, &users).await }
    }

    /// The push rules of `user`.
    ///
    /// # Errors
    /// The database's own.
    pub async fn rules_of(&self, user: UserNr) -> Result<Arc<Rules>> {
        let load = || async {
            let names = self.0.interner.texts(&[user]).await?;
            let settings = self.settings(&[user]).await?.remove(&user).unwrap_or_default();
            Ok(Arc::new(Rules::new(&settings, names.get(&user).map_or("", |name| name))))
        };
        self.0.caches.unread.rules.get_or_load(user, load).await
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ALICE: &str = "@alice:x";

    fn rules(global: serde_json::Value) -> Rules {
        let rules = Some(json!({ "global": global }).to_string());
        Rules::new(&Settings { rules, ignored: None }, ALICE)
    }

    #[test]
    fn a_rule_for_one_room_changes_nothing_in_another() {
        let muted = rules(json!({"room": [{"rule_id": "!a:x", "actions": []}]}));
        assert!(muted.is_quiet_in("!a:x") && !muted.is_default_in("!a:x"));
        assert!(!muted.is_quiet_in("!b:x") && muted.is_default_in("!b:x"));
        let overridden = rules(json!({"override": [{"rule_id": "m", "actions": [],
            "conditions": [{"kind": "event_match", "key": "room_id", "pattern": "!a:x"}]}]}));
        assert!(overridden.is_quiet_in("!a:x") && overridden.is_default_in("!b:x"));
    }

    #[test]
    fn a_keyword_makes_no_room_quiet() {
        let keyword = rules(json!({"content": [{"rule_id": "k", "pattern": "tea", "actions": ["notify"]}]}));
        assert!(!keyword.is_quiet_in("!a:x") && !keyword.is_default_in("!a:x"));
        assert!(Rules::new(&Settings::default(), ALICE).is_default_in("!a:x"));
        assert!(
            rules(json!({"override": [{"rule_id": ".m.rule.master", "default": true, "actions": []}]}))
                .is_quiet_in("!a:x")
        );
    }
}
