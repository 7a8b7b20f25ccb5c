//! `ruma-state-res` as the oracle of v2 and v2.1. Its auth chains and its conflicted state subgraph are computed here,
//! plainly, so that ours are checked as well.

use crate::room::Room;
use roost_spec::{event::Pdu, room_version::RoomVersion};
use ruma_common::{
    EventId, MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedRoomId, OwnedUserId, RoomId, UserId,
    room_version_rules::{AuthorizationRules, StateResolutionV2Rules},
};
use ruma_events::{StateEventType, TimelineEventType};
use ruma_state_res::{Event, StateMap, utils::event_id_set::EventIdSet};
use serde_json::{Value, value::RawValue};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

/// An event in ruma's shape.
pub struct RumaPdu {
    event_id: OwnedEventId,
    room_id: OwnedRoomId,
    sender: OwnedUserId,
    ts: MilliSecondsSinceUnixEpoch,
    kind: TimelineEventType,
    content: Box<RawValue>,
    state_key: Option<String>,
    prev_events: Vec<OwnedEventId>,
    auth_events: Vec<OwnedEventId>,
    rejected: bool,
}

impl RumaPdu {
    pub fn new(pdu: &Pdu, rejected: bool) -> Self {
        let json: Value = serde_json::from_str(pdu.json()).unwrap();
        let ids = |ids: &[Box<str>]| ids.iter().map(|id| OwnedEventId::try_from(&**id).unwrap()).collect();
        Self {
            event_id: pdu.event_id().try_into().unwrap(),
            room_id: pdu.room_id().try_into().unwrap(),
            sender: pdu.sender().try_into().unwrap(),
            ts: MilliSecondsSinceUnixEpoch(u64::try_from(pdu.origin_server_ts()).unwrap().try_into().unwrap()),
            kind: pdu.kind().into(),
            content: serde_json::value::to_raw_value(&json["content"]).unwrap(),
            state_key: pdu.state_key().map(str::to_owned),
            prev_events: ids(pdu.prev_events()),
            auth_events: ids(pdu.auth_events()),
            rejected,
        }
    }
}

impl Event for RumaPdu {
    type Id = OwnedEventId;

    fn event_id(&self) -> &OwnedEventId {
        &self.event_id
    }

    fn room_id(&self) -> Option<&RoomId> {
        Some(&self.room_id)
    }

    fn sender(&self) -> &UserId {
        &self.sender
    }

    fn origin_server_ts(&self) -> MilliSecondsSinceUnixEpoch {
        self.ts
    }

    fn event_type(&self) -> &TimelineEventType {
        &self.kind
    }

    fn content(&self) -> &RawValue {
        &self.content
    }

    fn state_key(&self) -> Option<&str> {
        self.state_key.as_deref()
    }

    fn prev_events(&self) -> Box<dyn DoubleEndedIterator<Item = &OwnedEventId> + '_> {
        Box::new(self.prev_events.iter())
    }

    fn auth_events(&self) -> Box<dyn DoubleEndedIterator<Item = &OwnedEventId> + '_> {
        Box::new(self.auth_events.iter())
    }

    fn redacts(&self) -> Option<&OwnedEventId> {
        None
    }

    fn rejected(&self) -> bool {
        self.rejected
    }
}

/// A room in ruma's shape.
pub struct RumaRoom {
    pub auth_rules: AuthorizationRules,
    pub resolution_rules: StateResolutionV2Rules,
    pub events: HashMap<OwnedEventId, Arc<RumaPdu>>,
    pub states: Vec<StateMap<OwnedEventId>>,
    /// As the reference server counts them: with the states' own events.
    pub chains: Vec<EventIdSet<OwnedEventId>>,
    subgraph: EventIdSet<OwnedEventId>,
}

impl RumaRoom {
    pub fn new(room: &Room) -> Self {
        let events: HashMap<_, _> = room
            .events
            .iter()
            .map(|(id, pdu)| {
                let pdu = RumaPdu::new(pdu, room.rejected.contains(id));
                (pdu.event_id.clone(), Arc::new(pdu))
            })
            .collect();
        let states: Vec<StateMap<OwnedEventId>> = room
            .states
            .iter()
            .map(|state| {
                let entries = state.iter().map(|((kind, state_key), pdu)| {
                    ((StateEventType::from(kind.as_str()), state_key.clone()), pdu.event_id().try_into().unwrap())
                });
                entries.collect()
            })
            .collect();
        let behind: Vec<_> = states.iter().map(|state| ancestors(&events, state.values())).collect();
        let with_own =
            behind.iter().zip(&states).map(|(behind, own)| behind.iter().chain(own.values()).cloned().collect());
        let chains = with_own.collect();
        let (resolution_rules, subgraph) = if room.version == RoomVersion::V12 {
            (StateResolutionV2Rules::V2_1, subgraph(&events, &states))
        } else {
            (StateResolutionV2Rules::V2_0, EventIdSet::new())
        };
        Self { auth_rules: auth_rules(room.version), resolution_rules, events, states, chains, subgraph }
    }

    /// Resolves; `chains` is a copy of the room's, which ruma consumes.
    pub fn resolve(&self, chains: Vec<EventIdSet<OwnedEventId>>) -> StateMap<OwnedEventId> {
        ruma_state_res::resolve(
            &self.auth_rules,
            &self.resolution_rules,
            &self.states,
            chains,
            |id: &EventId| self.events.get(id).cloned(),
            |_| Some(self.subgraph.clone()),
        )
        .unwrap()
    }
}

/// Everything behind the given events, without themselves unless one is behind another.
fn ancestors<'a>(
    events: &HashMap<OwnedEventId, Arc<RumaPdu>>,
    from: impl Iterator<Item = &'a OwnedEventId>,
) -> HashSet<OwnedEventId> {
    let mut found = HashSet::new();
    let mut stack: Vec<&OwnedEventId> = from.collect();
    while let Some(id) = stack.pop() {
        for auth in &events[id].auth_events {
            if found.insert(auth.clone()) {
                stack.push(&events[auth].event_id);
            }
        }
    }
    found
}

/// By the definition: what is behind a conflicted event, or one itself, and has a conflicted one behind it, or is one.
fn subgraph(
    events: &HashMap<OwnedEventId, Arc<RumaPdu>>,
    states: &[StateMap<OwnedEventId>],
) -> EventIdSet<OwnedEventId> {
    let all = states.iter().flatten();
    let conflicted = all.filter(|(key, id)| states.iter().any(|state| state.get(*key) != Some(*id)));
    let ends: HashSet<OwnedEventId> = conflicted.map(|(_, id)| id.clone()).collect();
    let behind = ancestors(events, ends.iter());
    let between = behind.into_iter().filter(|id| !ancestors(events, [id].into_iter()).is_disjoint(&ends));
    between.chain(ends.iter().cloned()).collect()
}

fn auth_rules(version: RoomVersion) -> AuthorizationRules {
    match version {
        RoomVersion::V1 | RoomVersion::V2 => AuthorizationRules::V1,
        RoomVersion::V3 | RoomVersion::V4 | RoomVersion::V5 => AuthorizationRules::V3,
        RoomVersion::V6 => AuthorizationRules::V6,
        RoomVersion::V7 => AuthorizationRules::V7,
        RoomVersion::V8 | RoomVersion::V9 => AuthorizationRules::V8,
        RoomVersion::V10 => AuthorizationRules::V10,
        RoomVersion::V11 => AuthorizationRules::V11,
        RoomVersion::V12 => AuthorizationRules::V12,
    }
}
