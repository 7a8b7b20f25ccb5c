//! The room by which speed is measured: 10,000 members, and forks that disagree about thirty-odd events each.

use crate::{
    common::Random,
    room::{Branch, NewEvent, Room, State},
};
use roost_spec::{
    event::Pdu,
    room_version::RoomVersion,
    state_res::{Source, StateEntry},
};
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};

const MEMBERS: usize = 10_000;
const MODERATORS: usize = 20;
const EVENTS_A_FORK: usize = 35;

/// Builds the room; the states of its forks are in `states`.
pub fn room(version: RoomVersion, forks: usize) -> Room {
    let mut room = Room::new(version);
    let mut random = Random::new(forks as u64);
    let mut base = Branch { state: State::new(), tips: Vec::new(), depth: 0 };
    let mut add = |branch: &mut Branch, sender: &str, kind: &str, state_key: &str, content: Value| {
        let salt = random.next();
        let ts = 1_700_000_000_000 + branch.depth as i64 * 1_000 + random.below(2_000) as i64;
        room.add(branch, NewEvent { kind, sender, state_key: Some(state_key), content, ts, salt }).is_some()
    };
    let creator = user(0);
    let mut users: serde_json::Map<String, Value> = (1..=MODERATORS).map(|index| (user(index), json!(50))).collect();
    if !version.rules().auth.privileged_creators {
        users.insert(creator.clone(), json!(100));
    }
    let setup = [
        ("m.room.create", "", json!({"room_version": version.as_str(), "creator": creator})),
        ("m.room.member", &creator, json!({"membership": "join"})),
        ("m.room.power_levels", "", json!({"users": users})),
        ("m.room.join_rules", "", json!({"join_rule": "public"})),
    ];
    for (kind, state_key, content) in setup {
        assert!(add(&mut base, &creator, kind, state_key, content));
    }
    for index in 1..MEMBERS {
        let user = user(index);
        assert!(add(&mut base, &user, "m.room.member", &user, json!({"membership": "join", "displayname": &user})));
    }

    let mut random = Random::new(7);
    let mut states = Vec::new();
    for fork in 0..forks {
        let mut branch = base.clone();
        for number in 0..EVENTS_A_FORK {
            let moderator = user(1 + random.below(MODERATORS));
            let member = user(MODERATORS + 1 + random.below(MEMBERS - MODERATORS - 1));
            match number % 7 {
                0 => {
                    let mut users = users.clone();
                    users.insert(member, json!(random.below(50)));
                    add(&mut branch, &moderator, "m.room.power_levels", "", json!({"users": users}));
                }
                1 | 2 => {
                    let membership = *random.pick(&["ban", "leave"]);
                    add(&mut branch, &moderator, "m.room.member", &member, json!({"membership": membership}));
                }
                3 => _ = add(&mut branch, &moderator, "m.room.topic", "", json!({"topic": format!("{fork} {number}")})),
                _ => {
                    let membership = if random.chance(30) { "leave" } else { "join" };
                    let content = json!({"membership": membership, "displayname": format!("{fork} {number}")});
                    add(&mut branch, &member, "m.room.member", &member, content);
                }
            }
        }
        states.push(branch.state);
    }
    room.states = states;
    room
}

fn user(index: usize) -> String {
    let server = ["a", "b", "c", "d", "e", "f", "g", "h"][index % 8];
    format!("@user{index}:{server}.test")
}

/// The room in our shape: freshly parsed, so that no content was read yet.
pub struct Input<'a> {
    pub states: Vec<Vec<StateEntry<'a>>>,
    events: HashMap<&'a str, Pdu>,
    /// The same sets that ruma gets.
    chains: &'a [HashSet<String>],
}

impl<'a> Input<'a> {
    pub fn new(room: &'a Room, chains: &'a [HashSet<String>]) -> Self {
        let parse = |pdu: &Pdu| Pdu::parse_trusted(room.rules(), pdu.json(), Some(pdu.event_id())).unwrap();
        let events = room.events.iter().map(|(id, pdu)| (id.as_str(), parse(pdu))).collect();
        Self { states: room.entries(), events, chains }
    }
}

impl Source for Input<'_> {
    fn event(&self, event_id: &str) -> Option<&Pdu> {
        self.events.get(event_id)
    }

    fn is_rejected(&self, _: &str) -> bool {
        false
    }

    fn in_every_auth_chain(&self, event_id: &str) -> bool {
        self.chains.iter().all(|chain| chain.contains(event_id))
    }
}
