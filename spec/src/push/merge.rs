//! How a stored ruleset meets the defaults of a newer specification.
//!
//! **Invariant:** the user's own rules and what the user changed on predefined ones survive; predefined rules that no
//! longer exist do not.

use super::{PushRule, RuleKind, Ruleset, predefined::MASTER};

impl Ruleset {
    /// This ruleset with today's predefined rules of `user_id`: master first, then the user's own rules, then the
    /// other predefined ones, with the user's `enabled` and `actions` on them.
    #[must_use]
    pub fn with_server_default(mut self, user_id: &str) -> Self {
        let mut merged = Self::default();
        let mut defaults = Self::server_default(user_id);
        for kind in RuleKind::ALL {
            let (old, own): (Vec<_>, Vec<_>) =
                self.rules_mut(kind).drain(..).partition(|rule| rule.default || rule.rule_id.starts_with('.'));
            let (first, last): (Vec<_>, Vec<_>) = defaults
                .rules_mut(kind)
                .drain(..)
                .map(|rule| carry_over(rule, &old))
                .partition(|rule| rule.rule_id == MASTER);
            merged.rules_mut(kind).extend(first.into_iter().chain(own).chain(last));
        }
        merged
    }
}

fn carry_over(rule: PushRule, old: &[PushRule]) -> PushRule {
    match old.iter().find(|old| old.rule_id == rule.rule_id) {
        Some(old) => PushRule { enabled: old.enabled, actions: old.actions.clone(), ..rule },
        None => rule,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::push::{Action, When};
    use serde_json::json;

    const ALICE: &str = "@alice:example.org";

    #[test]
    fn an_empty_ruleset_becomes_the_default() {
        assert_eq!(Ruleset::default().with_server_default(ALICE), Ruleset::server_default(ALICE));
        assert_eq!(
            Ruleset::server_default(ALICE).with_server_default(ALICE),
            Ruleset::server_default(ALICE),
            "and merging again changes nothing"
        );
    }

    #[test]
    fn own_rules_and_changes_survive_and_retired_rules_go() {
        let stored: Ruleset = serde_json::from_value(json!({
            "override": [
                {"rule_id": ".m.rule.tombstone", "default": true, "enabled": false, "conditions": [], "actions": []},
                {"rule_id": "mine", "default": false, "conditions": [], "actions": ["notify"]},
                {"rule_id": ".m.rule.contains_display_name", "default": true, "conditions": [], "actions": ["notify"]},
            ],
            "content": [{"rule_id": ".m.rule.contains_user_name", "default": true, "pattern": "alice", "actions": []}],
        }))
        .unwrap();
        let merged = stored.with_server_default(ALICE);
        let ids: Vec<_> = merged.rules(RuleKind::Override).iter().map(|rule| rule.rule_id.as_str()).take(3).collect();
        assert_eq!(ids, [".m.rule.master", "mine", ".m.rule.suppress_notices"]);
        let tombstone = merged.get(RuleKind::Override, ".m.rule.tombstone").unwrap();
        assert!(!tombstone.enabled && tombstone.actions == Vec::<Action>::new());
        assert!(matches!(&tombstone.when, When::Conditions(list) if list.len() == 2), "its conditions are today's");
        assert!(merged.get(RuleKind::Override, ".m.rule.contains_display_name").is_none());
        assert!(merged.rules(RuleKind::Content).is_empty());
    }
}
