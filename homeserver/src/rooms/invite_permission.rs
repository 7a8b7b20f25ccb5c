//! Who may invite a user: what they say of it in their account data.
//!
//! Source: client-server API, "Invite permission" (all invites on or off), and MSC4155 (lists of users and servers).

use roost_spec::glob::matches_name;
use ruma::UserId;
use serde::Deserialize;

use super::{Rooms, WriteError};
use crate::storage::{self, Result, UserNr};

/// The types of account data that say it.
pub const INVITE_PERMISSION: [&str; 3] = [STABLE, UNSTABLE, LISTS];
const STABLE: &str = "m.invite_permission_config";
const UNSTABLE: &str = "org.matrix.msc4380.invite_permission_config";
const LISTS: &str = "org.matrix.msc4155.invite_permission_config";

/// What becomes of an invite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permission {
    Allowed,
    /// The inviter is told nothing, and the invited user neither.
    Ignored,
    /// The inviter is told so.
    Blocked {
        /// By a list, whose error has a name of its own.
        by_list: bool,
    },
}

/// What one user says of invites. Nothing: all are welcome.
#[derive(Debug, Default)]
pub struct InviteRules {
    blocks_all: bool,
    lists: Option<Lists>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Lists {
    enabled: Option<bool>,
    allowed_users: Option<Vec<String>>,
    ignored_users: Option<Vec<String>>,
    blocked_users: Option<Vec<String>>,
    allowed_servers: Option<Vec<String>>,
    ignored_servers: Option<Vec<String>>,
    blocked_servers: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Switch {
    default_action: Option<String>,
}

impl InviteRules {
    /// Reads pieces of account data, by type. What is malformed says nothing, as clients write what they like.
    pub fn read<'a>(pieces: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut rules = Self::default();
        for (kind, json) in pieces {
            match kind {
                STABLE | UNSTABLE => {
                    let switch = serde_json::from_str::<Switch>(json).ok();
                    rules.blocks_all |= switch.is_some_and(|it| it.default_action.as_deref() == Some("block"));
                }
                LISTS => {
                    rules.lists = serde_json::from_str::<Lists>(json).ok().filter(|lists| lists.enabled != Some(false));
                }
                _ => {}
            }
        }
        rules
    }

    /// About how many bytes they take.
    pub fn size(&self) -> usize {
        self.lists.as_ref().map_or(0, |lists| {
            let Lists {
                enabled: _,
                allowed_users,
                ignored_users,
                blocked_users,
                allowed_servers,
                ignored_servers,
                blocked_servers,
            } = lists;
            let all = [allowed_users, ignored_users, blocked_users, allowed_servers, ignored_servers, blocked_servers];
            all.into_iter().flatten().flatten().map(|pattern| pattern.len() + 32).sum()
        })
    }

    /// Whether all invites are welcome.
    pub fn are_empty(&self) -> bool {
        !self.blocks_all && self.lists.is_none()
    }

    /// What becomes of an invite of `inviter`'s.
    pub fn judge(&self, inviter: &UserId) -> Permission {
        if self.blocks_all {
            return Permission::Blocked { by_list: false };
        }
        let Some(lists) = &self.lists else { return Permission::Allowed };
        let names =
            |list: &Option<Vec<String>>, text: &str| list.iter().flatten().any(|pattern| matches_name(pattern, text));
        let (user, server) = (inviter.as_str(), inviter.server_name().host());
        let blocked = Permission::Blocked { by_list: true };
        // The first that names them decides.
        let steps = [
            (&lists.allowed_users, user, Permission::Allowed),
            (&lists.ignored_users, user, Permission::Ignored),
            (&lists.blocked_users, user, blocked),
            (&lists.allowed_servers, server, Permission::Allowed),
            (&lists.ignored_servers, server, Permission::Ignored),
            (&lists.blocked_servers, server, blocked),
        ];
        steps.into_iter().find(|(list, text, _)| names(list, text)).map_or(Permission::Allowed, |(.., found)| found)
    }
}

impl Rooms {
    /// Refuses where one of `invited` blocks invites of `inviter`'s.
    pub(super) async fn check_invites(&self, inviter: &UserId, invited: &[UserNr]) -> Result<(), WriteError> {
        if invited.is_empty() {
            return Ok(());
        }
        let pieces = storage::account_data::of_users(&self.0.pool, invited, &INVITE_PERMISSION).await?;
        for user in invited {
            let own = pieces.iter().filter(|(of, ..)| of == user).map(|(_, kind, json)| (kind.as_str(), json.as_str()));
            if let Permission::Blocked { by_list } = InviteRules::read(own).judge(inviter) {
                return Err(WriteError::InviteBlocked { by_list });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(json: &str, inviter: &str) -> Permission {
        InviteRules::read([(LISTS, json)]).judge(<&UserId>::try_from(inviter).unwrap())
    }

    const BLOCKED: Permission = Permission::Blocked { by_list: true };

    #[test]
    fn users_come_before_servers_and_allowing_before_the_rest() {
        let json = r#"{"allowed_users":["@bob:hs2"],"ignored_users":["@bob:hs2","@i*:hs2"],"blocked_servers":["hs*"]}"#;
        assert_eq!(judged(json, "@bob:hs2"), Permission::Allowed);
        assert_eq!(judged(json, "@ida:hs2"), Permission::Ignored);
        assert_eq!(judged(json, "@eve:hs2:8448"), BLOCKED);
        assert_eq!(judged(json, "@eve:other"), Permission::Allowed);
    }

    #[test]
    fn what_is_switched_off_null_or_malformed_says_nothing() {
        for json in
            [r#"{"blocked_users":null}"#, r#"{"enabled":false,"blocked_users":["*"]}"#, r#"{"blocked_users":5}"#]
        {
            assert_eq!(judged(json, "@a:b"), Permission::Allowed, "{json}");
        }
        let all = InviteRules::read([(STABLE, r#"{"default_action":"block"}"#)]);
        assert_eq!(all.judge(<&UserId>::try_from("@a:b").unwrap()), Permission::Blocked { by_list: false });
        assert!(InviteRules::read([(STABLE, "{}")]).are_empty());
    }
}
