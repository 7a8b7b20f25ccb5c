//! The rules that every user has: the specification's "Predefined Rules", v1.19, in its order.
//!
//! **Invariant:** of the user they name only the id, so one compiled default serves everybody.

use super::{Action, Condition, MemberCount, PushRule, RuleKind, Ruleset, Scalar, When};

/// Always the most important rule, user-defined ones included.
pub(super) const MASTER: &str = ".m.rule.master";
pub(super) const IS_USER_MENTION: &str = ".m.rule.is_user_mention";
pub(super) const IS_ROOM_MENTION: &str = ".m.rule.is_room_mention";

impl Ruleset {
    /// The predefined rules of `user_id`.
    pub fn server_default(user_id: &str) -> Self {
        let mut ruleset = Self::default();
        *ruleset.rules_mut(RuleKind::Override) = vec![
            PushRule { enabled: false, ..rule(MASTER, [], []) },
            rule(".m.rule.suppress_notices", [matches("content.msgtype", "m.notice")], []),
            rule(
                ".m.rule.invite_for_me",
                [
                    matches("type", "m.room.member"),
                    matches("content.membership", "invite"),
                    matches("state_key", user_id),
                ],
                [Action::Notify, Action::sound("default")],
            ),
            rule(".m.rule.member_event", [matches("type", "m.room.member")], []),
            rule(
                IS_USER_MENTION,
                [Condition::EventPropertyContains {
                    key: r"content.m\.mentions.user_ids".to_owned(),
                    value: Scalar::String(user_id.to_owned()),
                }],
                [Action::Notify, Action::sound("default"), Action::highlight()],
            ),
            rule(
                IS_ROOM_MENTION,
                [
                    property_is(r"content.m\.mentions.room", Scalar::Bool(true)),
                    Condition::SenderNotificationPermission { key: "room".to_owned() },
                ],
                [Action::Notify, Action::highlight()],
            ),
            rule(
                ".m.rule.tombstone",
                [matches("type", "m.room.tombstone"), matches("state_key", "")],
                [Action::Notify, Action::highlight()],
            ),
            rule(".m.rule.reaction", [matches("type", "m.reaction")], []),
            rule(".m.rule.room.server_acl", [matches("type", "m.room.server_acl"), matches("state_key", "")], []),
            rule(
                ".m.rule.suppress_edits",
                [property_is(r"content.m\.relates_to.rel_type", Scalar::String("m.replace".to_owned()))],
                [],
            ),
        ];
        *ruleset.rules_mut(RuleKind::Underride) = vec![
            rule(".m.rule.call", [matches("type", "m.call.invite")], [Action::Notify, Action::sound("ring")]),
            rule(
                ".m.rule.encrypted_room_one_to_one",
                [two_members(), matches("type", "m.room.encrypted")],
                [Action::Notify, Action::sound("default")],
            ),
            rule(
                ".m.rule.room_one_to_one",
                [two_members(), matches("type", "m.room.message")],
                [Action::Notify, Action::sound("default")],
            ),
            rule(".m.rule.message", [matches("type", "m.room.message")], [Action::Notify]),
            rule(".m.rule.encrypted", [matches("type", "m.room.encrypted")], [Action::Notify]),
        ];
        ruleset
    }
}

fn rule<const C: usize, const A: usize>(id: &str, conditions: [Condition; C], actions: [Action; A]) -> PushRule {
    PushRule {
        rule_id: id.to_owned(),
        default: true,
        enabled: true,
        actions: actions.into(),
        when: When::Conditions(conditions.into()),
    }
}

fn matches(key: &str, pattern: &str) -> Condition {
    Condition::EventMatch { key: key.to_owned(), pattern: pattern.to_owned() }
}

fn property_is(key: &str, value: Scalar) -> Condition {
    Condition::EventPropertyIs { key: key.to_owned(), value }
}

fn two_members() -> Condition {
    Condition::RoomMemberCount { is: "2".to_owned(), count: MemberCount::Equal(2) }
}
