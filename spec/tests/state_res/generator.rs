//! Rooms out of a seed: forks in which people ban, promote and demote each other, change the join rules, come and go.

use crate::{
    common::Random,
    room::{Branch, NewEvent, Room, State, entries_of},
};
use roost_spec::room_version::RoomVersion;
use serde_json::{Value, json};

/// The people who fight; `ACTIVE[0]` creates the room.
const ACTIVE: [&str; 8] = [
    "@creator:a.test",
    "@admin:b.test",
    "@mod:a.test",
    "@helper:c.test",
    "@eve:b.test",
    "@mallory:c.test",
    "@bob:a.test",
    "@carol:b.test",
];

/// A room of a version; every hundredth has thousands of members.
pub fn room(version: RoomVersion, seed: u64) -> Room {
    let members = if seed % 100 == 99 { 2_000 } else { (seed % 7) as usize };
    let mut builder = Builder {
        random: Random::new(seed ^ (version as u64) << 40),
        room: Room::new(version),
        has_additional: seed.is_multiple_of(3),
        steps: 0,
    };
    let base = builder.base(members);
    builder.fight(base);
    builder.room
}

struct Builder {
    random: Random,
    room: Room,
    has_additional: bool,
    steps: i64,
}

impl Builder {
    /// The beginning that all branches share.
    fn base(&mut self, members: usize) -> Branch {
        let mut branch = Branch { state: State::new(), tips: Vec::new(), depth: 0 };
        let creator = ACTIVE[0];
        let mut create = json!({"room_version": self.room.version.as_str(), "creator": creator});
        if self.room.rules().auth.privileged_creators && self.has_additional {
            create["additional_creators"] = json!([ACTIVE[1]]);
        }
        self.must(&mut branch, creator, "m.room.create", "", create);
        self.must(&mut branch, creator, "m.room.member", creator, json!({"membership": "join"}));
        let mut users = json!({ACTIVE[2]: 50, ACTIVE[3]: *self.random.pick(&[50, 75])});
        if !self.room.rules().auth.privileged_creators {
            users[creator] = json!(100);
        }
        if !(self.room.rules().auth.privileged_creators && self.has_additional) {
            users[ACTIVE[1]] = json!(*self.random.pick(&[50, 99, 100]));
        }
        let levels = json!({"users": users, "events": {"m.room.topic": *self.random.pick(&[0, 50])}});
        self.must(&mut branch, creator, "m.room.power_levels", "", levels);
        self.must(&mut branch, creator, "m.room.join_rules", "", json!({"join_rule": "public"}));
        for user in &ACTIVE[1..] {
            if self.random.chance(85) {
                self.must(&mut branch, user, "m.room.member", user, json!({"membership": "join"}));
            }
        }
        for number in 0..members {
            let user = format!("@user{number}:d.test");
            self.must(&mut branch, &user, "m.room.member", &user, json!({"membership": "join"}));
        }
        branch
    }

    /// Forks, and leaves the states of all branches in the room.
    fn fight(&mut self, base: Branch) {
        let mut branches = vec![base.clone(), base];
        for _ in 0..8 + self.random.below(40) {
            let index = self.random.below(branches.len());
            self.step(&mut branches[index]);
            if self.random.chance(4) && branches.len() < 6 {
                branches.push(branches[index].clone());
            }
            if self.random.chance(3) && branches.len() > 2 {
                self.merge(&mut branches);
            }
        }
        if self.random.chance(10) {
            let mut ids: Vec<&String> = self.room.events.keys().collect();
            ids.sort();
            let id = (*self.random.pick(&ids)).clone();
            if !["m.room.create", "m.room.join_rules"].contains(&self.room.events[&id].kind()) {
                self.room.rejected.insert(id);
            }
        }
        self.room.states = branches.into_iter().map(|branch| branch.state).collect();
    }

    /// Joins two branches; the result's state is resolved, as a server would.
    fn merge(&mut self, branches: &mut Vec<Branch>) {
        let (Some(one), Some(two)) = (branches.pop(), branches.pop()) else { return };
        let resolved = self.room.resolve(&[entries_of(&one.state), entries_of(&two.state)], None).unwrap();
        let state = resolved.into_iter().map(|(key, id)| (key, self.room.events[&id].clone())).collect();
        let tips = [one.tips, two.tips].concat();
        branches.push(Branch { state, tips, depth: one.depth.max(two.depth) });
    }

    fn step(&mut self, branch: &mut Branch) {
        let sender = self.person();
        let target = self.person();
        match self.random.below(16) {
            0..=2 => self.member(branch, sender, target, "ban"),
            3 => self.member(branch, sender, target, "leave"),
            4 => self.member(branch, sender, sender, "leave"),
            5 => self.member(branch, sender, target, "invite"),
            6 | 7 => self.member(branch, sender, sender, "join"),
            8..=10 => self.promote(branch, sender, target),
            11 => self.raise_a_bar(branch, sender),
            12 => self.join_rules(branch, sender),
            13 | 14 => {
                let kind = *self.random.pick(&["m.room.topic", "m.room.name", "org.example.state"]);
                let content = json!({"topic": self.random.below(1_000)});
                self.may(branch, sender, kind, "", content);
            }
            _ => match self.random.below(4) {
                0 => self.may(branch, sender, "org.example.own", sender, json!({})),
                1 => self.may(branch, sender, "m.room.third_party_invite", "token", json!({"display_name": "x"})),
                2 => {
                    let server = sender.split_once(':').unwrap().1;
                    self.may(branch, sender, "m.room.aliases", server, json!({"aliases": []}));
                }
                _ => self.member(branch, sender, sender, "knock"),
            },
        }
    }

    /// Someone; those with power more often.
    fn person(&mut self) -> &'static str {
        let end = if self.random.chance(60) { 4 } else { ACTIVE.len() };
        ACTIVE[self.random.below(end)]
    }

    fn member(&mut self, branch: &mut Branch, sender: &str, target: &str, membership: &str) {
        let mut content = json!({"membership": membership, "reason": self.random.below(1_000).to_string()});
        if membership == "join" && self.random.chance(50) {
            content["join_authorised_via_users_server"] = json!(self.person());
        }
        self.may(branch, sender, "m.room.member", target, content);
    }

    fn promote(&mut self, branch: &mut Branch, sender: &str, target: &str) {
        let mut levels = self.levels(branch);
        let level = *self.random.pick(&[0, 0, 25, 50, 75, 99, 100]);
        if self.random.chance(20) {
            levels["users"].as_object_mut().unwrap().remove(target);
        } else {
            levels["users"][target] = json!(level);
        }
        self.may(branch, sender, "m.room.power_levels", "", levels);
    }

    fn raise_a_bar(&mut self, branch: &mut Branch, sender: &str) {
        let mut levels = self.levels(branch);
        let level = json!(*self.random.pick(&[0, 25, 50, 75, 100]));
        match *self.random.pick(&["ban", "kick", "invite", "state_default", "users_default", "m.room.topic", "room"]) {
            "room" => levels["notifications"]["room"] = level,
            "m.room.topic" => levels["events"]["m.room.topic"] = level,
            name => levels[name] = level,
        }
        self.may(branch, sender, "m.room.power_levels", "", levels);
    }

    fn join_rules(&mut self, branch: &mut Branch, sender: &str) {
        let rule = *self.random.pick(&["public", "invite", "invite", "knock", "restricted", "knock_restricted"]);
        self.may(branch, sender, "m.room.join_rules", "", json!({"join_rule": rule, "allow": []}));
    }

    fn levels(&self, branch: &Branch) -> Value {
        let levels = &branch.state[&("m.room.power_levels".to_owned(), String::new())];
        let event: Value = serde_json::from_str(levels.json()).unwrap();
        event["content"].clone()
    }

    fn must(&mut self, branch: &mut Branch, sender: &str, kind: &str, state_key: &str, content: Value) {
        assert!(self.add(branch, sender, kind, state_key, content), "{kind} by {sender}");
    }

    /// What the branch does not permit does not happen.
    fn may(&mut self, branch: &mut Branch, sender: &str, kind: &str, state_key: &str, content: Value) {
        self.add(branch, sender, kind, state_key, content);
    }

    fn add(&mut self, branch: &mut Branch, sender: &str, kind: &str, state_key: &str, content: Value) -> bool {
        self.steps += 1;
        // Clocks that differ between servers, and coarse enough that equal times happen.
        let ts = (1_700_000_000_000 + self.steps * 40 + self.random.below(1_500) as i64) / 100 * 100;
        let salt = self.random.next();
        let new = NewEvent { kind, sender, state_key: Some(state_key), content, ts, salt };
        self.room.add(branch, new).is_some()
    }
}
