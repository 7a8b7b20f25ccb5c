//! Our verdicts against `ruma-state-res`, over seeded rooms and events, in every room version.

use std::collections::HashMap;

use roost_spec::{
    auth::{self, AuthEvent, StateView},
    canonical_json::{Object, Value},
    event::{
        Draft, EventRef, Pdu,
        content::{Field, PowerLevels},
    },
    room_version::{RoomRules, RoomVersion},
    signature::Signer,
};
use ruma_common::{
    EventId, MilliSecondsSinceUnixEpoch, OwnedEventId, OwnedRoomId, OwnedUserId, RoomId, RoomVersionId, UserId,
};
use ruma_events::{StateEventType, TimelineEventType};
use ruma_state_res::{check_state_dependent_auth_rules, check_state_independent_auth_rules};
use serde_json::value::{RawValue, to_raw_value};

const USERS: [&str; 4] = ["@alice:a.org", "@bob:a.org", "@carol:b.org", "@dave:b.org"];
const EVENTS_PER_VERSION: usize = 4_000;

/// One of our events as the oracle wants to see it.
#[derive(Clone)]
struct Seen {
    event_id: OwnedEventId,
    room_id: Option<OwnedRoomId>,
    sender: OwnedUserId,
    kind: TimelineEventType,
    content: Box<RawValue>,
    state_key: Option<String>,
    prev_events: Vec<OwnedEventId>,
    auth_events: Vec<OwnedEventId>,
    redacts: Option<OwnedEventId>,
}

impl Seen {
    fn of(event: &Pdu) -> Self {
        let ids = |ids: &[Box<str>]| ids.iter().map(|id| EventId::parse(&**id).unwrap()).collect();
        Self {
            event_id: EventId::parse(event.event_id()).unwrap(),
            room_id: event.states_room_id().then(|| RoomId::parse(event.room_id()).unwrap()),
            sender: UserId::parse(event.sender()).unwrap(),
            kind: event.kind().into(),
            content: to_raw_value(event.content()).unwrap(),
            state_key: event.state_key().map(Into::into),
            prev_events: ids(event.prev_events()),
            auth_events: ids(event.auth_events()),
            redacts: event.redacts().map(|id| EventId::parse(id).unwrap()),
        }
    }
}

impl ruma_state_res::Event for Seen {
    type Id = OwnedEventId;

    fn event_id(&self) -> &OwnedEventId {
        &self.event_id
    }
    fn room_id(&self) -> Option<&RoomId> {
        self.room_id.as_deref()
    }
    fn sender(&self) -> &UserId {
        &self.sender
    }
    fn origin_server_ts(&self) -> MilliSecondsSinceUnixEpoch {
        MilliSecondsSinceUnixEpoch(1_u32.into())
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
        self.redacts.as_ref()
    }
    fn rejected(&self) -> bool {
        false
    }
}

#[derive(Default)]
struct State(HashMap<(String, String), Pdu>);

impl StateView for State {
    fn event(&self, kind: &str, state_key: &str) -> Option<&Pdu> {
        self.0.get(&(kind.to_owned(), state_key.to_owned()))
    }
}

struct Rooms {
    seed: u64,
    rules: &'static RoomRules,
    signer: Signer,
}

impl Rooms {
    fn below(&mut self, end: usize) -> usize {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.seed >> 33).unwrap() % end
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    fn level(&mut self) -> Value {
        match self.below(40) {
            0 => Value::from("50"),
            1 => Value::from(" +100 "),
            2 => Value::from("fifty"),
            3 => Value::Null,
            _ => Value::Integer(self.pick(&[-1, 0, 0, 25, 50, 50, 75, 100, 100, 150])),
        }
    }

    fn levels(&mut self, names: &[&'static str]) -> Object {
        let chosen: Vec<_> = names.iter().filter(|_| self.below(2) == 0).collect();
        chosen.into_iter().map(|name| (*name, self.level())).collect()
    }

    fn power_levels(&mut self) -> Object {
        let mut content =
            self.levels(&["ban", "events_default", "invite", "kick", "redact", "state_default", "users_default"]);
        let users = if self.below(30) == 0 { vec!["@alice:a.org", "nobody"] } else { USERS.to_vec() };
        for (key, names) in [
            ("users", users),
            ("events", vec!["m.room.name", "m.room.message", "m.room.power_levels", "m.room.redaction"]),
            ("notifications", vec!["room"]),
        ] {
            match self.below(12) {
                0 => drop(content.insert(key, 5_i64)),
                1 | 2 => {}
                _ => drop(content.insert(key, self.levels(&names))),
            }
        }
        content
    }

    fn member(&mut self) -> Object {
        let membership = self.pick(&["join", "join", "join", "invite", "leave", "ban", "knock", "dance"]);
        let mut content = Object::from([("membership", membership)]);
        if self.below(3) == 0 {
            content.insert("join_authorised_via_users_server", self.pick(&USERS));
        }
        if self.below(12) == 0 {
            let token = self.pick(&["token", "other"]);
            let mut signed = Object::from([("mxid", self.pick(&USERS)), ("token", token)]);
            let seed = [self.pick(&[5, 6]); 32];
            Signer::new("id.org", "ed25519:0", &seed).sign_object(&mut signed);
            content.insert("third_party_invite", Object::from([("signed", signed)]));
        }
        content
    }

    fn join_rules(&mut self) -> Object {
        let rules = ["public", "invite", "knock", "restricted", "knock_restricted", "private", "odd"];
        Object::from([("join_rule", self.pick(&rules))])
    }

    fn create(&mut self) -> Pdu {
        let mut content = Object::from([("creator", USERS[0])]);
        match self.below(8) {
            0 => drop(content.insert("m.federate", false)),
            1 => drop(content.insert("additional_creators", vec![USERS[2]])),
            2 => drop(content.insert("additional_creators", vec!["nobody"])),
            3 => drop(content.remove("creator")),
            _ => {}
        }
        self.sign("m.room.create", USERS[0], Some(""), content, "!r:a.org", vec![], vec![])
    }

    #[expect(clippy::too_many_arguments, reason = "an event has that many parts")]
    fn sign(
        &mut self,
        kind: &str,
        sender: &str,
        state_key: Option<&str>,
        content: Object,
        room_id: &str,
        prev_events: Vec<EventRef>,
        auth_events: Vec<EventRef>,
    ) -> Pdu {
        let draft = Draft {
            room_id: Some(room_id.into()),
            kind: kind.into(),
            sender: sender.into(),
            state_key: state_key.map(Into::into),
            content,
            prev_events,
            auth_events,
            depth: 1,
            origin_server_ts: i64::try_from(self.below(1 << 30)).unwrap(),
            redacts: (kind == "m.room.redaction").then(|| self.pick(&["$x:a.org", "$x:b.org"]).into()),
        };
        draft.sign(self.rules, &self.signer).unwrap()
    }

    /// A room in some state, reachable or not: verdicts are functions of any state.
    fn state(&mut self) -> State {
        let create = self.create();
        let room_id = create.room_id().to_owned();
        let mut state = State::default();
        let mut put = |event: Pdu| {
            state.0.insert((event.kind().to_owned(), event.state_key().unwrap().to_owned()), event);
        };
        put(create);
        for user in USERS {
            if self.below(4) > 0 {
                let content = Object::from([(
                    "membership",
                    self.pick(&["join", "join", "join", "invite", "leave", "ban", "knock"]),
                )]);
                put(self.sign("m.room.member", user, Some(user), content, &room_id, vec![], vec![]));
            }
        }
        if self.below(4) > 0 {
            // What is malformed is refused on its way in, so that no state has it.
            let mut content = self.power_levels();
            while !is_well_formed(self.rules, &content) {
                content = self.power_levels();
            }
            put(self.sign("m.room.power_levels", USERS[0], Some(""), content, &room_id, vec![], vec![]));
        }
        // Always: without join rules the oracle refuses, where Synapse and we take them to be `invite`.
        let content = self.join_rules();
        put(self.sign("m.room.join_rules", USERS[0], Some(""), content, &room_id, vec![], vec![]));
        if self.below(3) > 0 {
            let content =
                Object::from([("public_key", Signer::new("id.org", "ed25519:0", &[5; 32]).verify_key().to_base64())]);
            let sender = self.pick(&USERS);
            put(self.sign("m.room.third_party_invite", sender, Some("token"), content, &room_id, vec![], vec![]));
        }
        state
    }

    /// An event on that state, mostly with the auth events it needs.
    fn event(&mut self, state: &State) -> Pdu {
        let create = state.event("m.room.create", "").unwrap().clone();
        let kind = self.pick(&[
            "m.room.member",
            "m.room.member",
            "m.room.member",
            "m.room.power_levels",
            "m.room.power_levels",
            "m.room.message",
            "m.room.name",
            "m.room.aliases",
            "m.room.redaction",
            "m.room.third_party_invite",
            "m.x",
        ]);
        let sender = self.pick(&USERS);
        let (state_key, content) = match kind {
            "m.room.member" => (Some(if self.below(2) == 0 { sender } else { self.pick(&USERS) }), self.member()),
            "m.room.power_levels" => (Some(""), self.nudged(state)),
            "m.room.aliases" => (self.pick(&[None, Some("a.org"), Some("b.org")]), Object::new()),
            "m.room.name" => (Some(""), Object::new()),
            "m.x" => (self.pick(&[Some(USERS[0]), Some(sender), Some("x"), None]), Object::new()),
            "m.room.third_party_invite" => (Some("token"), Object::new()),
            _ => (None, Object::new()),
        };
        let prev = if self.below(4) == 0 { create.reference() } else { self.other_reference() };
        let mut cited: Vec<_> = auth::selection(self.rules, kind, sender, state_key, &content)
            .into_iter()
            .filter_map(|(kind, state_key)| state.event(kind, state_key).map(Pdu::reference))
            .collect();
        match self.below(10) {
            0 => cited.truncate(1),
            1 => cited.extend(state.event("m.room.join_rules", "").map(Pdu::reference)),
            2 => cited.extend(cited.first().cloned()),
            _ => {}
        }
        let content = content.clone();
        self.sign(kind, sender, state_key, content, create.room_id(), vec![prev], cited)
    }

    /// Power levels close to the current ones, so that more is at stake than the first difference.
    fn nudged(&mut self, state: &State) -> Object {
        let current = state.event("m.room.power_levels", "").map(|event| event.content().clone());
        let (Some(mut content), true) = (current, self.below(4) > 0) else { return self.power_levels() };
        let key = self.pick(&["ban", "kick", "users_default", "users", "events", "notifications"]);
        let fresh = self.power_levels();
        match fresh.get(key) {
            Some(value) => drop(content.insert(key, value.clone())),
            None => drop(content.remove(key)),
        }
        content
    }

    fn other_reference(&self) -> EventRef {
        EventRef { event_id: "$prev:a.org".into(), sha256: self.rules.references_carry_hashes().then_some([1; 32]) }
    }
}

fn is_well_formed(rules: &RoomRules, content: &Object) -> bool {
    let levels = PowerLevels::read(rules, content);
    let single = [levels.ban, levels.events_default, levels.invite, levels.kick, levels.redact, levels.state_default];
    let mut many = [&levels.events, &levels.users, &levels.notifications].into_iter();
    !single.contains(&Field::Malformed)
        && levels.users_default != Field::Malformed
        && many.all(|levels| *levels != Field::Malformed)
        && levels.users.present().is_none_or(|users| users.iter().all(|(user, _)| user.starts_with('@')))
}

#[test]
fn verdicts_are_those_of_the_oracle() {
    for version in RoomVersion::ALL {
        let rules = version.rules();
        let oracle = RoomVersionId::try_from(version.as_str()).unwrap().rules().unwrap().authorization;
        let mut rooms = Rooms { seed: 42, rules, signer: Signer::new("a.org", "ed25519:1", &[1; 32]) };
        let (mut allowed, mut cited_well) = (0, 0);
        for _ in 0..EVENTS_PER_VERSION / 10 {
            let state = rooms.state();
            let create = state.event("m.room.create", "").unwrap();
            let ours = auth::check(rules, create, &state);
            let theirs = check_state_independent_auth_rules(&oracle, Seen::of(create), |_| None::<Seen>);
            assert_eq!(ours.is_ok(), theirs.is_ok(), "{version} {} ours {ours:?} theirs {theirs:?}", create.json());
            if ours.is_err() {
                continue;
            }
            let by_id: HashMap<&str, &Pdu> = state.0.values().map(|event| (event.event_id(), event)).collect();
            // The oracle finds a create event's room by the id that it is asked for, not in the event.
            let seen = |event: &Pdu| Seen { room_id: Some(RoomId::parse(event.room_id()).unwrap()), ..Seen::of(event) };
            for _ in 0..10 {
                let event = rooms.event(&state);
                let story = || {
                    format!("{version} {} in {:?}", event.json(), state.0.values().map(Pdu::json).collect::<Vec<_>>())
                };

                let ours = auth::check(rules, &event, &state);
                let fetch = |kind: &StateEventType, key: &str| state.event(&kind.to_string(), key).map(seen);
                let theirs = check_state_dependent_auth_rules(&oracle, Seen::of(&event), fetch);
                assert_eq!(ours.is_ok(), theirs.is_ok(), "ours {ours:?} theirs {theirs:?}: {}", story());
                allowed += usize::from(ours.is_ok());

                let cited = event.auth_events().iter().map(|id| AuthEvent { event: by_id[&**id], rejected: false });
                let ours =
                    auth::check_auth_events(rules, &event, cited, Some(AuthEvent { event: create, rejected: false }));
                let fetch = |id: &EventId| by_id.get(id.as_str()).map(|event| seen(event));
                let theirs = check_state_independent_auth_rules(&oracle, Seen::of(&event), fetch);
                assert_eq!(ours.is_ok(), theirs.is_ok(), "ours {ours:?} theirs {theirs:?}: {}", story());
                cited_well += usize::from(ours.is_ok());
            }
        }
        // Agreement on refusals alone would prove little.
        assert!(allowed > EVENTS_PER_VERSION / 20, "{version}: {allowed}");
        assert!(cited_well > EVENTS_PER_VERSION / 4, "{version}: {cited_well}");
    }
}
