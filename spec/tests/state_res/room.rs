//! A room with several states, and a builder that adds only events that their branch's state permits.

use roost_spec::{
    auth::{self, StateView},
    canonical_json::parse_object,
    event::Pdu,
    room_version::{RoomRules, RoomVersion},
    state_res::StateEntry,
};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap, HashSet};

/// By type and state key.
pub type State = BTreeMap<(String, String), Pdu>;

pub struct Room {
    pub version: RoomVersion,
    pub room_id: String,
    pub events: HashMap<String, Pdu>,
    pub rejected: HashSet<String>,
    pub states: Vec<State>,
}

/// Where a branch of the room ends.
#[derive(Clone)]
pub struct Branch {
    pub state: State,
    pub tips: Vec<String>,
    pub depth: u64,
}

pub struct NewEvent<'a> {
    pub kind: &'a str,
    pub sender: &'a str,
    pub state_key: Option<&'a str>,
    pub content: Value,
    pub ts: i64,
    /// Sets the event's id apart in the versions that choose ids.
    pub salt: u64,
}

struct BranchState<'a>(&'a State);

impl StateView for BranchState<'_> {
    fn event(&self, kind: &str, state_key: &str) -> Option<&Pdu> {
        self.0.get(&(kind.to_owned(), state_key.to_owned()))
    }
}

impl Room {
    pub fn new(version: RoomVersion) -> Self {
        Self {
            version,
            room_id: "!room:a.test".to_owned(),
            events: HashMap::new(),
            rejected: HashSet::new(),
            states: Vec::new(),
        }
    }

    pub fn rules(&self) -> &'static RoomRules {
        self.version.rules()
    }

    /// Adds an event to a branch if the branch's state permits it.
    pub fn add(&mut self, branch: &mut Branch, new: NewEvent<'_>) -> Option<Pdu> {
        let rules = self.rules();
        let pdu = self.build(branch, &new);
        auth::check(rules, &pdu, &BranchState(&branch.state)).ok()?;
        if pdu.kind() == "m.room.create" {
            pdu.room_id().clone_into(&mut self.room_id);
        }
        if let Some(state_key) = pdu.state_key() {
            branch.state.insert((pdu.kind().to_owned(), state_key.to_owned()), pdu.clone());
        }
        branch.tips = vec![pdu.event_id().to_owned()];
        branch.depth = pdu.depth();
        self.events.insert(pdu.event_id().to_owned(), pdu.clone());
        Some(pdu)
    }

    fn build(&self, branch: &Branch, new: &NewEvent<'_>) -> Pdu {
        let rules = self.rules();
        let content = parse_object(new.content.to_string().as_bytes(), rules.numbers).unwrap();
        let auth_events: Vec<Value> = auth::selection(rules, new.kind, new.sender, new.state_key, &content)
            .into_iter()
            .filter_map(|(kind, key)| branch.state.get(&(kind.to_owned(), key.to_owned())))
            .map(|pdu| reference(rules, pdu.event_id()))
            .collect();
        let prev_events: Vec<Value> = branch.tips.iter().map(|id| reference(rules, id)).collect();
        let mut event = json!({
            "type": new.kind, "sender": new.sender, "content": new.content, "origin_server_ts": new.ts,
            "depth": branch.depth + 1, "auth_events": auth_events, "prev_events": prev_events,
            "hashes": {"sha256": ""}, "signatures": {},
        });
        if let Some(state_key) = new.state_key {
            event["state_key"] = json!(state_key);
        }
        if !(rules.room_id_is_create_hash && new.kind == "m.room.create") {
            event["room_id"] = json!(self.room_id);
        }
        if rules.references_carry_hashes() {
            event["event_id"] = json!(format!("${:016x}:a.test", new.salt));
        } else {
            event["hashes"]["sha256"] = json!(format!("{:016x}", new.salt));
        }
        Pdu::parse_trusted(rules, &event.to_string(), None).unwrap()
    }

    /// The states as the product takes them.
    pub fn entries(&self) -> Vec<Vec<StateEntry<'_>>> {
        self.states.iter().map(entries_of).collect()
    }
}

/// As a server holds it: the texts are those of the events, and the one type that most events have is shared.
pub fn entries_of(state: &State) -> Vec<StateEntry<'_>> {
    let shared = |kind| if kind == "m.room.member" { "m.room.member" } else { kind };
    let entry = |pdu| StateEntry { kind: shared(Pdu::kind(pdu)), state_key: key_of(pdu), event_id: pdu.event_id() };
    state.values().map(entry).collect()
}

fn key_of(pdu: &Pdu) -> &str {
    pdu.state_key().unwrap()
}

fn reference(rules: &RoomRules, event_id: &str) -> Value {
    if rules.references_carry_hashes() { json!([event_id, {"sha256": ""}]) } else { json!(event_id) }
}
