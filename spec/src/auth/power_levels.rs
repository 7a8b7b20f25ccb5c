//! Rule 9: who may change the power levels, and how far.

use super::{Power, PowerLevel, Rejection};
use crate::{
    event::{
        Pdu,
        content::{Field, Levels, PowerLevels},
    },
    ident,
    room_version::RoomRules,
};

/// Rule 9 (10 before version 6 and in version 12): if type is m.room.power_levels:
pub(super) fn check(rules: &RoomRules, event: &Pdu, power: &Power<'_>, has: PowerLevel) -> Result<(), Rejection> {
    // Whatever its state key: it is judged by the room's levels like the one that gives power.
    let Some(new) = event.power_levels() else { return Ok(()) };
    check_form(new)?;
    if let Field::Present(users) = &new.users {
        // 9.3 If the users property in content is not an object with keys that are valid user IDs with values that are
        // integers (before version 10: or a string that is an integer), reject.
        if let Some((user, _)) = users.iter().find(|(user, _)| !ident::is_user_id(user)) {
            return Err(Rejection::PowerForNoUser(user.into()));
        }
        // 10.4 of version 12: if the users property in content contains the sender of the m.room.create event or any of the
        // additional_creators, reject.
        if rules.auth.privileged_creators
            && let Some((user, _)) = users.iter().find(|(user, _)| power.is_creator(user))
        {
            return Err(Rejection::PowerForCreator(user.into()));
        }
    }
    // 9.4 If there is no previous m.room.power_levels event in the room, allow.
    let Some(old) = power.levels() else { return Ok(()) };
    let change = Change { has, sender: event.sender() };
    change.check_single(old, new)?;
    // 9.6, 9.7 For each entry being changed in, removed from or added to the events or (since version 6) notifications
    // properties: if the current or the new value is greater than the sender's current power level, reject.
    change.check_entries(&old.events, &new.events, |_, old| PowerLevel::Finite(old) > has)?;
    if rules.auth.limit_notifications {
        change.check_entries(&old.notifications, &new.notifications, |_, old| PowerLevel::Finite(old) > has)?;
    }
    // 9.8 For each entry being changed in, or removed from, the users property, other than the sender's own entry: if the
    // current value is greater than or equal to the sender's current power level, reject.
    // 9.9 For each entry being added to, or changed in, the users property: if the new value is greater than the sender's
    // current power level, reject.
    change.check_entries(&old.users, &new.users, |user, old| user != change.sender && PowerLevel::Finite(old) >= has)
    // 9.10 Otherwise, allow.
}

/// 9.1 If any of the properties users_default, events_default, state_default, ban, redact, kick, or invite in content are
/// present and not an integer, reject. 9.2 If either of the properties events or notifications in content are present and not
/// an object with values that are integers, reject.
///
/// Before version 10, what counts as an integer is wider (see [`PowerLevels::read`]), and only `users` is named; the
/// comparisons below could not be made with the rest malformed, so it is refused as well, as by the network's servers.
fn check_form(new: &PowerLevels) -> Result<(), Rejection> {
    for (name, level, _) in singles(new) {
        if level == Field::Malformed {
            return Err(Rejection::MalformedPowerLevels(name));
        }
    }
    for (name, levels) in [("events", &new.events), ("notifications", &new.notifications), ("users", &new.users)] {
        if *levels == Field::Malformed {
            return Err(Rejection::MalformedPowerLevels(name));
        }
    }
    Ok(())
}

/// The levels that stand alone, with their names and defaults.
fn singles(levels: &PowerLevels) -> [(&'static str, Field<i64>, i64); 7] {
    [
        ("users_default", levels.users_default, 0),
        ("events_default", levels.events_default, 0),
        ("state_default", levels.state_default, 50),
        ("ban", levels.ban, 50),
        ("redact", levels.redact, 50),
        ("kick", levels.kick, 50),
        ("invite", levels.invite, 0),
    ]
}

struct Change<'a> {
    has: PowerLevel,
    sender: &'a str,
}

impl Change<'_> {
    /// 9.5 For the properties users_default, events_default, state_default, ban, redact, kick, invite check if they were
    /// added, changed or removed. For each found alteration: if the current value or the new value is higher than the
    /// sender's current power level, reject.
    fn check_single(&self, old: &PowerLevels, new: &PowerLevels) -> Result<(), Rejection> {
        for ((name, old, default), (_, new, _)) in singles(old).into_iter().zip(singles(new)) {
            if old == Field::Malformed {
                return Err(Rejection::MalformedState("power levels"));
            }
            let reached = |level: Field<i64>| self.has.reaches(level.present().copied().unwrap_or(default));
            if old != new && !(reached(old) && reached(new)) {
                return Err(self.refused(name));
            }
        }
        Ok(())
    }

    /// Compares two ordered lists of levels; `is_beyond` says which entries the sender may not touch.
    fn check_entries(
        &self,
        old: &Field<Levels>,
        new: &Field<Levels>,
        is_beyond: impl Fn(&str, i64) -> bool,
    ) -> Result<(), Rejection> {
        if *old == Field::Malformed {
            return Err(Rejection::MalformedState("power levels"));
        }
        let none = Levels::default();
        let (old, new) = (old.present().unwrap_or(&none), new.present().unwrap_or(&none));
        for (name, old) in old.iter().filter(|(name, level)| new.get(name) != Some(*level)) {
            if is_beyond(name, old) {
                return Err(self.refused(name));
            }
        }
        for (name, new) in new.iter().filter(|(name, level)| old.get(name) != Some(*level)) {
            if !self.has.reaches(new) {
                return Err(self.refused(name));
            }
        }
        Ok(())
    }

    fn refused(&self, what: &str) -> Rejection {
        Rejection::PowerChange { what: what.into(), has: self.has }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        auth::test_room::{ALICE, BOB, CAROL, Room},
        room_version::RoomVersion::{self, V5, V6, V9, V10, V11, V12},
    };

    /// Bob, of level 50, sets the power levels in a room where Alice has 100 and Carol 50.
    fn bob_sets(version: RoomVersion, levels: &str) -> Result<(), Rejection> {
        let current = r#"{"ban":60,"events":{"m.x":70},"notifications":{"room":60},
            "users":{"@alice:a.org":100,"@bob:a.org":50,"@carol:b.org":50}}"#;
        let room = Room::new(version).with_member(BOB, "join").with_member(CAROL, "join").with_levels(current);
        room.set(BOB, "m.room.power_levels", "", levels)
    }

    fn with(change: impl Fn(String) -> String) -> String {
        change(
            r#"{"ban":60,"events":{"m.x":70},"notifications":{"room":60},"users":{"@alice:a.org":100,"@bob:a.org":50,"@carol:b.org":50}}"#
                .to_owned(),
        )
    }

    #[test]
    fn changes_reach_as_far_as_the_senders_own_level() {
        let refused = |what: &str| Err(Rejection::PowerChange { what: what.into(), has: PowerLevel::Finite(50) });
        let set = |from: &str, to: &str| bob_sets(V11, &with(|levels| levels.replacen(from, to, 1)));
        assert_eq!(set("", ""), Ok(()));
        assert_eq!(set("\"ban\":60", "\"ban\":50"), refused("ban"));
        assert_eq!(set("\"ban\":60,", ""), refused("ban"));
        assert_eq!(set("\"ban\":60", "\"ban\":60,\"kick\":51"), refused("kick"));
        assert_eq!(set("\"ban\":60", "\"ban\":60,\"kick\":0"), Ok(()));
        assert_eq!(set("\"m.x\":70", ""), refused("m.x"));
        assert_eq!(set("\"m.x\":70", "\"m.x\":70,\"m.y\":50"), Ok(()));
        assert_eq!(set("\"m.x\":70", "\"m.x\":70,\"m.y\":51"), refused("m.y"));
        assert_eq!(set("\"@alice:a.org\":100", "\"@alice:a.org\":0"), refused(ALICE));
        // Not an equal, but oneself: down, never up.
        assert_eq!(set("\"@carol:b.org\":50", "\"@carol:b.org\":0"), refused(CAROL));
        assert_eq!(set("\"@bob:a.org\":50", "\"@bob:a.org\":0"), Ok(()));
        assert_eq!(set("\"@bob:a.org\":50", "\"@bob:a.org\":51"), refused(BOB));
        assert_eq!(set("\"@bob:a.org\":50", "\"@bob:a.org\":50,\"@dave:b.org\":50"), Ok(()));
    }

    #[test]
    fn the_state_key_makes_no_difference() {
        let levels = r#"{"users":{"@alice:a.org":100,"@bob:a.org":50}}"#;
        for version in RoomVersion::ALL {
            let room = Room::new(version).with_member(BOB, "join").with_member(CAROL, "join");
            let room = if version < V12 {
                room.with_levels(levels)
            } else {
                room.with_levels(r#"{"users":{"@bob:a.org":50}}"#)
            };
            for key in ["", "x", BOB] {
                let set = |levels: &str| room.set(BOB, "m.room.power_levels", key, levels);
                let above = r#"{"users":{"@bob:a.org":51}}"#;
                assert!(matches!(set(above), Err(Rejection::PowerChange { .. })), "{version} {key:?}");
                let kick = r#"{"kick":99,"users":{"@bob:a.org":50}}"#;
                assert!(matches!(set(kick), Err(Rejection::PowerChange { .. })), "{version} {key:?}");
                assert!(set(r#"{"users":{"nobody":1}}"#).is_err(), "{version} {key:?}");
                assert!(set(r#"{"ban":[]}"#).is_err(), "{version} {key:?}");
            }
            // One that is no state event is judged alike.
            let message = room.make("m.room.power_levels", BOB, None, r#"{"users":{"@bob:a.org":51}}"#);
            assert!(room.check(&message).is_err(), "{version}");
        }
    }

    #[test]
    fn notifications_are_guarded_from_version_6_on() {
        let lowered = with(|levels| levels.replace("\"room\":60", "\"room\":0"));
        assert_eq!(bob_sets(V5, &lowered), Ok(()));
        assert!(bob_sets(V6, &lowered).is_err());
    }

    #[test]
    fn strings_are_levels_up_to_version_9() {
        let text = with(|levels| levels.replace("\"ban\":60", "\"ban\":\"60\""));
        assert_eq!(bob_sets(V9, &text), Ok(()));
        assert_eq!(bob_sets(V10, &text), Err(Rejection::MalformedPowerLevels("ban")));
        let users = r#"{"users":{"nobody":0}}"#;
        assert_eq!(bob_sets(V9, users), Err(Rejection::PowerForNoUser("nobody".into())));
    }

    #[test]
    fn creators_of_version_12_are_not_listed_and_need_not_be() {
        let room = Room::created_with(V12, r#"{"additional_creators":["@bob:a.org"]}"#);
        let set = |levels: &str| room.set(ALICE, "m.room.power_levels", "", levels);
        assert_eq!(set(r#"{"users":{"@alice:a.org":100}}"#), Err(Rejection::PowerForCreator(ALICE.into())));
        assert_eq!(set(r#"{"users":{"@bob:a.org":100}}"#), Err(Rejection::PowerForCreator(BOB.into())));
        assert_eq!(set(r#"{"ban":9007199254740991,"users":{"@carol:b.org":9007199254740991}}"#), Ok(()));
    }
}
