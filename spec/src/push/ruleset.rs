//! A user's rules in the shape that the API and `m.push_rules` show.
//!
//! **Invariant:** what decides a rule fits its kind: conditions for `override` and `underride`, a pattern for
//! `content`, the rule's own id for `room` and `sender`. No other combination can be parsed or added.

use super::{Action, Condition};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _, ser::SerializeMap};

/// The kinds of rules, in the order in which they are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RuleKind {
    /// The user's highest priority.
    Override,
    /// Patterns in `content.body`.
    Content,
    /// One room.
    Room,
    /// One sender.
    Sender,
    /// Like `override`, of the lowest priority.
    Underride,
}

impl RuleKind {
    /// All kinds in the order in which they are checked.
    pub const ALL: [Self; 5] = [Self::Override, Self::Content, Self::Room, Self::Sender, Self::Underride];

    /// The kind of this name in paths and in JSON.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// The name in paths and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Override => "override",
            Self::Content => "content",
            Self::Room => "room",
            Self::Sender => "sender",
            Self::Underride => "underride",
        }
    }
}

/// What decides whether an enabled rule matches.
#[derive(Clone, Debug, PartialEq)]
pub enum When {
    /// `override`, `underride`: all of these hold; an empty list always matches.
    Conditions(Vec<Condition>),
    /// `content`: this glob matches words of `content.body`.
    Pattern(String),
    /// `room`, `sender`: the rule's id is the event's room or sender.
    RuleId,
}

/// One rule.
#[derive(Clone, Debug, PartialEq)]
pub struct PushRule {
    /// Unique among the rules of its kind.
    pub rule_id: String,
    /// Whether the server defined it.
    pub default: bool,
    /// A disabled rule never matches.
    pub enabled: bool,
    /// What to do on a match; empty means: nothing, and look no further.
    pub actions: Vec<Action>,
    /// What decides.
    pub when: When,
}

/// The `global` ruleset: rules by kind, each list from the most to the least important.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ruleset {
    rules: [Vec<PushRule>; 5],
}

impl Ruleset {
    /// The rules of one kind, from the most to the least important.
    pub fn rules(&self, kind: RuleKind) -> &[PushRule] {
        &self.rules[kind as usize]
    }

    /// The rule with this id among those of a kind.
    pub fn get(&self, kind: RuleKind, rule_id: &str) -> Option<&PushRule> {
        self.rules(kind).iter().find(|rule| rule.rule_id == rule_id)
    }

    pub(super) fn rules_mut(&mut self, kind: RuleKind) -> &mut Vec<PushRule> {
        &mut self.rules[kind as usize]
    }
}

impl Serialize for PushRule {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("rule_id", &self.rule_id)?;
        map.serialize_entry("default", &self.default)?;
        map.serialize_entry("enabled", &self.enabled)?;
        match &self.when {
            When::Conditions(conditions) => map.serialize_entry("conditions", conditions)?,
            When::Pattern(pattern) => map.serialize_entry("pattern", pattern)?,
            When::RuleId => {}
        }
        map.serialize_entry("actions", &self.actions)?;
        map.end()
    }
}

impl Serialize for Ruleset {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(RuleKind::ALL.len()))?;
        for kind in RuleKind::ALL {
            map.serialize_entry(kind.as_str(), self.rules(kind))?;
        }
        map.end()
    }
}

/// A rule before its kind has said what must decide it.
#[derive(Deserialize)]
struct StoredRule {
    rule_id: String,
    #[serde(default)]
    default: bool,
    #[serde(default = "yes")]
    enabled: bool,
    actions: Vec<Action>,
    conditions: Option<Vec<Condition>>,
    pattern: Option<String>,
}

#[derive(Deserialize)]
struct StoredRuleset {
    #[serde(rename = "override", default)]
    override_: Vec<StoredRule>,
    #[serde(default)]
    content: Vec<StoredRule>,
    #[serde(default)]
    room: Vec<StoredRule>,
    #[serde(default)]
    sender: Vec<StoredRule>,
    #[serde(default)]
    underride: Vec<StoredRule>,
}

fn yes() -> bool {
    true
}

impl StoredRule {
    fn of_kind(self, kind: RuleKind) -> Result<PushRule, &'static str> {
        let when = When::of_kind(kind, self.conditions, self.pattern).ok_or("a content rule needs a pattern")?;
        let Self { rule_id, default, enabled, actions, .. } = self;
        Ok(PushRule { rule_id, default, enabled, actions, when })
    }
}

impl When {
    /// What decides a rule of `kind`; `None` if it is a content rule without pattern. What the kind has no use for is
    /// dropped.
    pub(super) fn of_kind(kind: RuleKind, conditions: Option<Vec<Condition>>, pattern: Option<String>) -> Option<Self> {
        match kind {
            RuleKind::Override | RuleKind::Underride => Some(Self::Conditions(conditions.unwrap_or_default())),
            RuleKind::Content => pattern.map(Self::Pattern),
            RuleKind::Room | RuleKind::Sender => Some(Self::RuleId),
        }
    }
}

impl<'de> Deserialize<'de> for Ruleset {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let stored = StoredRuleset::deserialize(deserializer)?;
        let mut ruleset = Self::default();
        for (kind, rules) in RuleKind::ALL.into_iter().zip([
            stored.override_,
            stored.content,
            stored.room,
            stored.sender,
            stored.underride,
        ]) {
            for rule in rules {
                ruleset.rules_mut(kind).push(rule.of_kind(kind).map_err(D::Error::custom)?);
            }
        }
        Ok(ruleset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_ruleset_reads_back_as_written() {
        let value = json!({
            "override": [{"rule_id": "o", "default": false, "enabled": false, "conditions": [], "actions": ["notify"]}],
            "content": [{"rule_id": "c", "default": false, "enabled": true, "pattern": "tea", "actions": []}],
            "room": [{"rule_id": "!r:x", "default": false, "enabled": true, "actions": []}],
            "sender": [],
            "underride": [],
        });
        let ruleset: Ruleset = serde_json::from_value(value.clone()).unwrap();
        assert_eq!(serde_json::to_value(&ruleset).unwrap(), value);
        assert_eq!(ruleset.get(RuleKind::Content, "c").unwrap().when, When::Pattern("tea".to_owned()));
        assert!(ruleset.get(RuleKind::Room, "c").is_none());
    }

    #[test]
    fn a_content_rule_without_pattern_is_refused() {
        let value = json!({"content": [{"rule_id": "c", "actions": []}]});
        assert!(serde_json::from_value::<Ruleset>(value).is_err());
    }

    #[test]
    fn kinds_have_their_names() {
        for kind in RuleKind::ALL {
            assert_eq!(RuleKind::parse(kind.as_str()), Some(kind));
        }
        assert_eq!(RuleKind::parse("postcontent"), None);
    }
}
