//! What a client may change: add, replace, move, delete, enable, and set the actions of a rule.
//!
//! **Invariant:** predefined rules keep their place and conditions; only `enabled` and `actions` of them change.

use super::{Action, Condition, PushRule, RuleKind, Ruleset, When, predefined::MASTER};
use serde::Deserialize;

/// The body of `PUT /pushrules/global/{kind}/{ruleId}`.
#[derive(Clone, Debug, Deserialize)]
pub struct RuleBody {
    /// What to do on a match.
    pub actions: Vec<Action>,
    /// For `override` and `underride`; absent means none, which always matches.
    pub conditions: Option<Vec<Condition>>,
    /// For `content`.
    pub pattern: Option<String>,
}

/// The body of `PUT …/actions` parses into this.
#[derive(Clone, Debug, Deserialize)]
struct ActionsBody {
    actions: Vec<Action>,
}

/// Where a rule goes; `before` counts when both are given.
#[derive(Clone, Copy, Debug, Default)]
pub struct Position<'a> {
    /// The rule becomes the next more important one of this user-defined rule.
    pub before: Option<&'a str>,
    /// The rule becomes the next less important one of this user-defined rule.
    pub after: Option<&'a str>,
}

/// Why a ruleset was left as it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// Ids with a leading dot are the server's. `400 M_INVALID_PARAM`.
    #[error("rule ids that start with a dot are reserved for predefined rules")]
    ReservedRuleId,
    /// `400 M_INVALID_PARAM`.
    #[error("a rule id is not empty and contains no slash and no backslash")]
    InvalidRuleId,
    /// `400 M_MISSING_PARAM`.
    #[error("a content rule needs a pattern")]
    MissingPattern,
    /// `400 M_INVALID_PARAM`.
    #[error("a rule cannot be placed relative to a predefined rule")]
    RelativeToDefault,
    /// `400 M_UNKNOWN`, as the specification's example has it.
    #[error("before/after rule not found: {0}")]
    AnchorNotFound(String),
    /// `404 M_NOT_FOUND`.
    #[error("the push rule was not found")]
    NotFound,
    /// `400 M_INVALID_PARAM`.
    #[error("predefined rules can be disabled, not deleted")]
    DeleteDefault,
}

impl RuleBody {
    /// The actions in the body of `PUT …/actions`.
    ///
    /// # Errors
    /// If it is no object with a list of actions.
    pub fn actions_from_json(body: &[u8]) -> Result<Vec<Action>, serde_json::Error> {
        serde_json::from_slice::<ActionsBody>(body).map(|body| body.actions)
    }
}

impl Ruleset {
    /// Adds a rule, or replaces the one of this id: it keeps `enabled`, and its place unless one is named.
    ///
    /// # Errors
    /// All of [`EditError`] but `NotFound` and `DeleteDefault`; nothing has changed then.
    pub fn put(&mut self, kind: RuleKind, rule_id: &str, body: RuleBody, at: Position<'_>) -> Result<(), EditError> {
        check_rule_id(rule_id)?;
        let when = When::of_kind(kind, body.conditions, body.pattern).ok_or(EditError::MissingPattern)?;
        let rules = self.rules_mut(kind);
        for anchor in [at.before, at.after].into_iter().flatten() {
            check_anchor(rules, anchor)?;
        }

        let old = rules.iter().position(|rule| rule.rule_id == rule_id);
        let enabled = old.is_none_or(|index| rules[index].enabled);
        let rule = PushRule { rule_id: rule_id.to_owned(), default: false, enabled, actions: body.actions, when };
        let at_itself = at.before.or(at.after) == Some(rule_id);
        let place = match (old, at) {
            // Next to itself is where it is.
            (Some(index), _) if at_itself => index,
            (Some(index), Position { before: None, after: None }) => index,
            _ => {
                let others = rules.iter().filter(|rule| rule.rule_id != rule_id);
                let place_of = |anchor| others.clone().position(|rule| rule.rule_id == anchor);
                at.before
                    .and_then(place_of)
                    .or_else(|| at.after.and_then(place_of).map(|index| index + 1))
                    .unwrap_or_else(|| others.clone().take_while(|rule| rule.rule_id == MASTER).count())
            }
        };
        if let Some(index) = old {
            rules.remove(index);
        }
        rules.insert(place, rule);
        Ok(())
    }

    /// Deletes a user-defined rule.
    ///
    /// # Errors
    /// `NotFound`, `DeleteDefault`.
    pub fn delete(&mut self, kind: RuleKind, rule_id: &str) -> Result<(), EditError> {
        let rules = self.rules_mut(kind);
        let index = rules.iter().position(|rule| rule.rule_id == rule_id).ok_or(EditError::NotFound)?;
        if rules[index].default {
            return Err(EditError::DeleteDefault);
        }
        rules.remove(index);
        Ok(())
    }

    /// Enables or disables a rule.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn set_enabled(&mut self, kind: RuleKind, rule_id: &str, enabled: bool) -> Result<(), EditError> {
        self.find(kind, rule_id)?.enabled = enabled;
        Ok(())
    }

    /// Sets a rule's actions.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn set_actions(&mut self, kind: RuleKind, rule_id: &str, actions: Vec<Action>) -> Result<(), EditError> {
        self.find(kind, rule_id)?.actions = actions;
        Ok(())
    }

    fn find(&mut self, kind: RuleKind, rule_id: &str) -> Result<&mut PushRule, EditError> {
        self.rules_mut(kind).iter_mut().find(|rule| rule.rule_id == rule_id).ok_or(EditError::NotFound)
    }
}

fn check_rule_id(rule_id: &str) -> Result<(), EditError> {
    if rule_id.starts_with('.') {
        Err(EditError::ReservedRuleId)
    } else if rule_id.is_empty() || rule_id.contains(['/', '\\']) {
        Err(EditError::InvalidRuleId)
    } else {
        Ok(())
    }
}

fn check_anchor(rules: &[PushRule], anchor: &str) -> Result<(), EditError> {
    if anchor.starts_with('.') {
        return Err(EditError::RelativeToDefault);
    }
    match rules.iter().find(|rule| rule.rule_id == anchor) {
        Some(rule) if rule.default => Err(EditError::RelativeToDefault),
        Some(_) => Ok(()),
        None => Err(EditError::AnchorNotFound(anchor.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::push::Actions;
    use serde_json::json;

    const KIND: RuleKind = RuleKind::Override;

    fn body(value: serde_json::Value) -> RuleBody {
        serde_json::from_value(value).unwrap()
    }

    fn put(ruleset: &mut Ruleset, id: &str, at: Position<'_>) -> Result<(), EditError> {
        ruleset.put(KIND, id, body(json!({"actions": ["notify"]})), at)
    }

    fn own(ruleset: &Ruleset) -> Vec<&str> {
        ruleset.rules(KIND).iter().filter(|rule| !rule.default).map(|rule| rule.rule_id.as_str()).collect()
    }

    /// `a`, `b`, `c`, from the most to the least important.
    fn three() -> Ruleset {
        let mut ruleset = Ruleset::server_default("@alice:example.org");
        for id in ["c", "b", "a"] {
            put(&mut ruleset, id, Position::default()).unwrap();
        }
        ruleset
    }

    #[test]
    fn a_new_rule_is_the_most_important_after_master() {
        let ruleset = three();
        assert_eq!(own(&ruleset), ["a", "b", "c"]);
        assert_eq!(ruleset.rules(KIND)[0].rule_id, MASTER);
        assert_eq!(ruleset.rules(KIND)[4].rule_id, ".m.rule.suppress_notices");
    }

    #[test]
    fn rules_move_before_and_after_others() {
        for (before, after, expected) in [
            (Some("a"), None, ["c", "a", "b"]),
            (Some("b"), None, ["a", "c", "b"]),
            (None, Some("a"), ["a", "c", "b"]),
            (None, Some("b"), ["a", "b", "c"]),
            (Some("b"), Some("a"), ["a", "c", "b"]),
            (Some("c"), None, ["a", "b", "c"]),
        ] {
            let mut ruleset = three();
            put(&mut ruleset, "c", Position { before, after }).unwrap();
            assert_eq!(own(&ruleset), expected, "{before:?} {after:?}");
        }
    }

    #[test]
    fn an_update_keeps_place_and_enabled() {
        let mut ruleset = three();
        ruleset.set_enabled(KIND, "b", false).unwrap();
        ruleset.put(KIND, "b", body(json!({"actions": []})), Position::default()).unwrap();
        assert_eq!(own(&ruleset), ["a", "b", "c"]);
        let rule = ruleset.get(KIND, "b").unwrap();
        assert!(!rule.enabled && rule.actions.is_empty());
    }

    #[test]
    fn every_refusal_leaves_the_ruleset_as_it_was() {
        let mut ruleset = three();
        let before = |anchor| Position { before: Some(anchor), after: None };
        assert_eq!(put(&mut ruleset, ".mine", Position::default()), Err(EditError::ReservedRuleId));
        for id in ["", "a/b", "a\\b"] {
            assert_eq!(put(&mut ruleset, id, Position::default()), Err(EditError::InvalidRuleId));
        }
        assert_eq!(put(&mut ruleset, "d", before(MASTER)), Err(EditError::RelativeToDefault));
        assert_eq!(put(&mut ruleset, "d", before("x")), Err(EditError::AnchorNotFound("x".to_owned())));
        assert_eq!(
            ruleset.put(RuleKind::Content, "d", body(json!({"actions": []})), Position::default()),
            Err(EditError::MissingPattern)
        );
        assert_eq!(ruleset.delete(KIND, "x"), Err(EditError::NotFound));
        assert_eq!(ruleset.delete(KIND, MASTER), Err(EditError::DeleteDefault));
        assert_eq!(ruleset.set_enabled(KIND, "x", true), Err(EditError::NotFound));
        assert_eq!(ruleset.set_actions(RuleKind::Room, "a", vec![]), Err(EditError::NotFound));
        assert_eq!(ruleset, three());
    }

    #[test]
    fn predefined_rules_can_be_enabled_and_get_other_actions() {
        let mut ruleset = three();
        ruleset.set_enabled(KIND, MASTER, true).unwrap();
        let actions = RuleBody::actions_from_json(br#"{"actions": ["dont_notify"]}"#).unwrap();
        ruleset.set_actions(KIND, ".m.rule.tombstone", actions).unwrap();
        assert!(ruleset.get(KIND, MASTER).unwrap().enabled);
        assert!(!ruleset.get(KIND, ".m.rule.tombstone").unwrap().actions.notify());
        ruleset.delete(KIND, "b").unwrap();
        assert_eq!(own(&ruleset), ["a", "c"]);
    }
}
