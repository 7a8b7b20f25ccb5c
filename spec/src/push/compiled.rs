//! Rulesets made ready, and their evaluation: the first enabled rule that matches decides.
//!
//! Disabled rules and rules that can never match are left out on compiling, paths become slots, patterns are cut and
//! lower-cased. Conditions that name the user compare with the context, so that all users who changed nothing share
//! one compiled default.
//!
//! **Invariant:** evaluation allocates only for names looked for in a body, and its time does not depend on who else is
//! in the room.

use super::{
    Action, Condition, FlatEvent, MemberCount, PushRule, RuleKind, Ruleset, Scalar, When,
    flat_event::{Leaf, Path},
    predefined::{IS_ROOM_MENTION, IS_USER_MENTION},
};
use crate::event::content::Levels;
use crate::glob::Glob;
use std::sync::{Arc, LazyLock};

/// The level that `notifications` means when it says nothing about `room`.
const DEFAULT_ROOM_NOTIFICATION_LEVEL: i64 = 50;

/// What an evaluation knows apart from event and rules.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// Whose rules these are.
    pub user_id: &'a str,
    /// The user's display name in the room.
    pub display_name: Option<&'a str>,
    /// How many members are joined to the room.
    pub member_count: u64,
    /// The power of the event's sender; without it `sender_notification_permission` never holds.
    pub power: Option<SenderPower<'a>>,
    /// An event without `m.mentions` mentions whom its body names, as it did before version 1.17 of the specification:
    /// the user by display name or localpart, everybody by `@room`. Clients and bots that are older than `m.mentions`
    /// rely on it; it goes by the rules for mentions, so that whoever turned these off is left in peace.
    pub mentions_in_body: bool,
}

/// The power of an event's sender against the levels of the room.
#[derive(Clone, Copy, Debug)]
pub struct SenderPower<'a> {
    /// The sender's level; `i64::MAX` for the creators of a version 12 room.
    pub level: i64,
    /// `notifications` of `m.room.power_levels`.
    pub notifications: Option<&'a Levels>,
}

impl SenderPower<'_> {
    /// Whether the sender may trigger this kind of notification. `room` needs 50 unless the room says otherwise; of
    /// other kinds the room must say something.
    fn permits(&self, key: &str) -> bool {
        let default = (key == "room").then_some(DEFAULT_ROOM_NOTIFICATION_LEVEL);
        let required = self.notifications.and_then(|levels| levels.get(key)).or(default);
        required.is_some_and(|required| self.level >= required)
    }
}

/// A user's ruleset, ready for evaluation.
#[derive(Clone, Debug)]
pub struct CompiledRuleset {
    rules: Box<[CompiledRule]>,
}

#[derive(Clone, Debug)]
struct CompiledRule {
    checks: Box<[Check]>,
    actions: Box<[Action]>,
}

#[derive(Clone, Debug)]
enum Check {
    Glob(Path, Glob),
    Words(Glob),
    /// A string property is the user's id, in any case.
    IsUser(Path),
    Is(Path, Scalar),
    Contains(Path, Scalar),
    ContainsUser(Path),
    DisplayName,
    MemberCount(MemberCount),
    Permission(Box<str>),
    /// The first condition of `.m.rule.is_user_mention`: named in `m.mentions`, or in a body as of old.
    UserMention(Path),
    /// The same of `.m.rule.is_room_mention`.
    RoomMention(Path),
}

impl CompiledRuleset {
    /// Compiles the rules of `user_id`.
    pub fn new(ruleset: &Ruleset, user_id: &str) -> Self {
        let rules = RuleKind::ALL.into_iter().flat_map(|kind| ruleset.rules(kind).iter().map(move |rule| (kind, rule)));
        Self { rules: rules.filter_map(|(kind, rule)| CompiledRule::new(kind, rule, user_id)).collect() }
    }

    /// The predefined rules, compiled once for everybody who changed none of them.
    pub fn server_default() -> Arc<Self> {
        static DEFAULT: LazyLock<Arc<CompiledRuleset>> = LazyLock::new(|| {
            // The id only marks the places where the context's user is meant.
            let anybody = "@anybody:localhost";
            Arc::new(CompiledRuleset::new(&Ruleset::server_default(anybody), anybody))
        });
        Arc::clone(&DEFAULT)
    }

    /// The actions of the first rule that matches; none if no rule does, or if the user sent the event.
    pub fn evaluate(&self, event: &FlatEvent, context: &Context<'_>) -> &[Action] {
        if event.sender() == Some(context.user_id) {
            return &[];
        }
        let matching = self.rules.iter().find(|rule| rule.checks.iter().all(|check| check.holds(event, context)));
        matching.map_or(&[], |rule| &rule.actions)
    }
}

impl CompiledRule {
    /// `None` if the rule cannot match.
    fn new(kind: RuleKind, rule: &PushRule, user_id: &str) -> Option<Self> {
        if !rule.enabled {
            return None;
        }
        let checks = match (&rule.when, kind) {
            (When::Conditions(conditions), _) => {
                let mut checks: Box<[Check]> =
                    conditions.iter().map(|condition| Check::new(condition, user_id)).collect::<Option<_>>()?;
                if rule.default {
                    checks.iter_mut().for_each(|check| check.look_into_the_body(&rule.rule_id));
                }
                checks
            }
            (When::Pattern(pattern), _) => [Check::Words(Glob::new(&pattern.to_lowercase()))].into(),
            (When::RuleId, RuleKind::Room) => exactly("room_id", &rule.rule_id),
            (When::RuleId, _) => exactly("sender", &rule.rule_id),
        };
        Some(Self { checks, actions: rule.actions.as_slice().into() })
    }
}

fn exactly(path: &str, value: &str) -> Box<[Check]> {
    [Check::Is(Path::new(path), Scalar::String(value.to_owned()))].into()
}

impl Check {
    /// `None` if the condition never holds.
    fn new(condition: &Condition, user_id: &str) -> Option<Self> {
        Some(match condition {
            Condition::EventMatch { key, pattern } => match Path::new(key) {
                Path::BODY => Self::Words(Glob::new(&pattern.to_lowercase())),
                path if pattern == user_id => Self::IsUser(path),
                path => Self::Glob(path, Glob::new(&pattern.to_lowercase())),
            },
            Condition::EventPropertyIs { key, value } => Self::Is(Path::new(key), value.clone()),
            Condition::EventPropertyContains { key, value: Scalar::String(value) } if value == user_id => {
                Self::ContainsUser(Path::new(key))
            }
            Condition::EventPropertyContains { key, value } => Self::Contains(Path::new(key), value.clone()),
            Condition::ContainsDisplayName => Self::DisplayName,
            Condition::RoomMemberCount { count, .. } => Self::MemberCount(*count),
            Condition::SenderNotificationPermission { key } => Self::Permission(key.as_str().into()),
            Condition::Unknown(_) => return None,
        })
    }

    /// Makes the predefined rules for mentions what they were before `m.mentions`.
    fn look_into_the_body(&mut self, rule_id: &str) {
        match (rule_id, &self) {
            (IS_USER_MENTION, Self::ContainsUser(path)) => *self = Self::UserMention(path.clone()),
            (IS_ROOM_MENTION, Self::Is(path, _)) => *self = Self::RoomMention(path.clone()),
            _ => {}
        }
    }

    fn holds(&self, event: &FlatEvent, context: &Context<'_>) -> bool {
        let lower = |path| event.get(path).and_then(Leaf::lower_text);
        match self {
            Self::Glob(path, glob) => lower(path).is_some_and(|value| glob.matches(value)),
            Self::Words(glob) => lower(&Path::BODY).is_some_and(|body| glob.matches_words(body)),
            Self::IsUser(path) => {
                event.get(path).and_then(Leaf::text).is_some_and(|text| text.eq_ignore_ascii_case(context.user_id))
            }
            Self::Is(path, value) => event.get(path).is_some_and(|leaf| leaf.is(value)),
            Self::Contains(path, value) => items(event, path).contains(value),
            Self::ContainsUser(path) => contains_user(event, path, context),
            Self::UserMention(path) => {
                contains_user(event, path, context)
                    || by_body(event, context)
                        && (display_name_in_body(event, context) || localpart_in_body(event, context))
            }
            Self::RoomMention(path) => {
                event.get(path).is_some_and(|leaf| leaf.is(&Scalar::Bool(true)))
                    || by_body(event, context)
                        && event.lower_body().is_some_and(|body| Glob::literal("@room").matches_words(body))
            }
            Self::DisplayName => display_name_in_body(event, context),
            Self::MemberCount(count) => count.contains(context.member_count),
            Self::Permission(key) => context.power.is_some_and(|power| power.permits(key)),
        }
    }
}

fn items<'a>(event: &'a FlatEvent, path: &Path) -> &'a [Scalar] {
    match event.get(path) {
        Some(Leaf::Array(items)) => items,
        _ => &[],
    }
}

fn contains_user(event: &FlatEvent, path: &Path, context: &Context<'_>) -> bool {
    items(event, path).iter().any(|item| matches!(item, Scalar::String(text) if text == context.user_id))
}

fn by_body(event: &FlatEvent, context: &Context<'_>) -> bool {
    context.mentions_in_body && !event.says_mentions()
}

fn localpart_in_body(event: &FlatEvent, context: &Context<'_>) -> bool {
    let localpart = context.user_id.strip_prefix('@').and_then(|rest| rest.split(':').next()).unwrap_or_default();
    !localpart.is_empty()
        && event.lower_body().is_some_and(|body| Glob::literal(&localpart.to_lowercase()).matches_words(body))
}

fn display_name_in_body(event: &FlatEvent, context: &Context<'_>) -> bool {
    let Some(body) = event.get(&Path::BODY).and_then(Leaf::lower_text) else { return false };
    let Some(name) = context.display_name.filter(|name| !name.is_empty()) else { return false };
    Glob::literal(&name.to_lowercase()).matches_words(body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::push::{Actions, Sound};
    use serde_json::{Value, json};

    const ALICE: &str = "@alice:example.org";
    const ROOM: &str = "!room:example.org";

    fn context() -> Context<'static> {
        Context {
            user_id: ALICE,
            display_name: Some("Alice L."),
            member_count: 3,
            power: None,
            mentions_in_body: false,
        }
    }

    fn event(value: Value) -> FlatEvent {
        let mut event = json!({"type": "m.room.message", "sender": "@bob:example.org"});
        event.as_object_mut().unwrap().extend(value.as_object().unwrap().clone());
        FlatEvent::new(event.as_object().unwrap(), ROOM)
    }

    fn message(body: &str) -> FlatEvent {
        event(json!({"content": {"msgtype": "m.text", "body": body}}))
    }

    fn compile(value: Value) -> CompiledRuleset {
        CompiledRuleset::new(&serde_json::from_value(value).unwrap(), ALICE)
    }

    fn default_actions(event: &FlatEvent, context: &Context<'_>) -> Vec<Action> {
        CompiledRuleset::server_default().evaluate(event, context).to_vec()
    }

    #[test]
    fn a_message_notifies_and_a_direct_one_makes_a_sound() {
        let actions = default_actions(&message("hi"), &context());
        assert_eq!((actions.notify(), actions.sound(), actions.highlight()), (true, None, false));
        let actions = default_actions(&message("hi"), &Context { member_count: 2, ..context() });
        assert_eq!(actions.sound(), Some(Sound::Default));
    }

    #[test]
    fn nobody_is_notified_of_what_they_sent_themselves() {
        let own = event(json!({"sender": ALICE, "content": {"body": "hi"}}));
        assert!(default_actions(&own, &context()).is_empty());
    }

    #[test]
    fn the_shared_default_knows_whom_it_serves() {
        let mention = event(json!({"content": {"body": "x", "m.mentions": {"user_ids": ["@x:y", ALICE]}}}));
        assert!(default_actions(&mention, &context()).highlight());
        assert!(!default_actions(&mention, &Context { user_id: "@carol:example.org", ..context() }).highlight());
        let invite = event(json!({"type": "m.room.member", "state_key": ALICE, "content": {"membership": "invite"}}));
        assert!(default_actions(&invite, &context()).notify());
        assert!(!default_actions(&invite, &Context { user_id: "@carol:example.org", ..context() }).notify());
    }

    #[test]
    fn before_there_were_mentions_a_body_named_whom_it_meant() {
        let highlight = |value: Value, mentions_in_body| {
            let power = Some(SenderPower { level: 50, notifications: None });
            let context = Context { mentions_in_body, power, ..context() };
            CompiledRuleset::server_default().evaluate(&event(value), &context).highlight()
        };
        for body in ["hey ALICE!", "hey alice l.", "@alice:example.org: hi", "@room look"] {
            assert!(highlight(json!({"content": {"body": body}}), true), "{body}");
            assert!(!highlight(json!({"content": {"body": body}}), false), "{body}");
            assert!(!highlight(json!({"content": {"body": body, "m.mentions": {}}}), true), "{body}");
        }
        assert!(!highlight(json!({"content": {"body": "malice"}}), true));
    }

    #[test]
    fn a_room_mention_needs_power() {
        let mention = event(json!({"content": {"body": "x", "m.mentions": {"room": true}}}));
        let highlight = |level, notifications| {
            let power = Some(SenderPower { level, notifications });
            default_actions(&mention, &Context { power, ..context() }).highlight()
        };
        let levels = Levels::from_iter([("room", 10)]);
        assert!(highlight(50, None) && !highlight(49, None));
        assert!(highlight(10, Some(&levels)) && !highlight(9, Some(&levels)));
        assert!(!default_actions(&mention, &context()).highlight(), "no power known");
    }

    #[test]
    fn quiet_kinds_stay_quiet() {
        for quiet in [
            json!({"content": {"msgtype": "m.notice", "body": "x"}}),
            json!({"type": "m.reaction"}),
            json!({"type": "m.room.member", "state_key": "@x:y", "content": {"membership": "join"}}),
            json!({"type": "m.room.server_acl", "state_key": ""}),
            json!({"content": {"body": "* x", "m.relates_to": {"rel_type": "m.replace"}}}),
            json!({"type": "m.room.topic", "state_key": "", "content": {"topic": "x"}}),
        ] {
            assert!(default_actions(&event(quiet.clone()), &context()).is_empty(), "{quiet}");
        }
        assert!(default_actions(&event(json!({"type": "m.room.tombstone", "state_key": ""})), &context()).highlight());
        assert!(!default_actions(&event(json!({"type": "m.room.tombstone"})), &context()).highlight());
    }

    #[test]
    fn kinds_are_checked_in_their_order() {
        let rule = |id: &str, sound: &str| json!({"rule_id": id, "actions": [{"set_tweak": "sound", "value": sound}]});
        let mut ruleset = json!({
            "room": [rule(ROOM, "room")], "sender": [rule("@bob:example.org", "sender")],
            "content": [{"rule_id": "c", "pattern": "cake", "actions": [{"set_tweak": "sound", "value": "content"}]}],
            "override": [rule("o", "override")], "underride": [rule("u", "underride")],
        });
        for kind in RuleKind::ALL.map(RuleKind::as_str) {
            let compiled = compile(ruleset.clone());
            assert_eq!(compiled.evaluate(&message("a CAKE!"), &context()).sound(), Some(Sound::Named(kind)));
            ruleset[kind][0]["enabled"] = json!(false);
        }
        assert!(compile(ruleset).evaluate(&message("a cake"), &context()).is_empty());
    }

    #[test]
    fn an_unknown_condition_silences_its_rule() {
        let compiled = compile(json!({"override": [
            {"rule_id": "a", "conditions": [{"kind": "org.example.new"}], "actions": ["notify"]},
        ]}));
        assert!(compiled.evaluate(&message("x"), &context()).is_empty());
    }

    #[test]
    fn the_display_name_is_a_word_and_not_a_glob() {
        let compiled = compile(json!({"override": [
            {"rule_id": "a", "conditions": [{"kind": "contains_display_name"}], "actions": ["notify"]},
        ]}));
        let notifies =
            |body, name| compiled.evaluate(&message(body), &Context { display_name: name, ..context() }).notify();
        assert!(notifies("hey alice l. there", Some("Alice L.")));
        assert!(!notifies("hey malice l.", Some("Alice L.")));
        assert!(!notifies("hey", Some("*")) && !notifies("hey", Some("")) && !notifies("hey", None));
    }
}
