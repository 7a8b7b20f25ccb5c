//! What the new room has: its first events, what follows them, and its power levels.

use roost_spec::{
    auth::{Power, StateView},
    canonical_json::{Object, Value},
    event::Pdu,
    room_version::RoomRules,
};
use ruma::OwnedUserId;

use super::{UpgradeError, Work};
use crate::{
    rooms::{Author, Draft, Head, Room, Rooms, StateKey, create::distinguish, state::of_kind},
    storage::{self, EventNr, Membership, Sym},
};

/// State that a new room takes over at once.
const KEPT: [&str; 10] = [
    "m.room.join_rules",
    "m.room.name",
    "m.room.topic",
    "m.room.history_visibility",
    "m.room.guest_access",
    "m.room.avatar",
    "m.room.encryption",
    "m.room.server_acl",
    "m.room.policy",
    "m.room.pinned_events",
];

impl Rooms {
    /// The first events of the room that takes the place of `old`.
    pub(super) async fn successor(
        &self,
        author: &Author,
        old: &Room,
        head: &Head,
        rules: &'static RoomRules,
        creators: &[OwnedUserId],
        power: &Power<'_>,
    ) -> Result<Vec<Draft>, UpgradeError> {
        let state = &head.frame.state;
        let mut creation = power.create().content().clone();
        for key in ["creator", "additional_creators", "room_version", "predecessor"] {
            creation.remove(key);
        }
        let mut predecessor = Object::from([("room_id", old.id.as_str())]);
        // A new room's ID is the hash of its create event where rooms are named so: the old one's last event comes later.
        if !rules.room_id_is_create_hash
            && let Some(last) = head.extremities.first()
        {
            predecessor.insert("event_id", &*last.reference.event_id);
        }
        creation.insert("predecessor", predecessor);
        distinguish(rules, &mut creation);
        creation.insert("room_version", rules.version.as_str());
        if !rules.auth.creator_is_sender {
            creation.insert("creator", author.id.as_str());
        }
        if rules.auth.privileged_creators && !creators.is_empty() {
            let creators: Vec<&str> = creators.iter().map(|user| user.as_str()).collect();
            creation.insert("additional_creators", creators);
        }
        let mut member = self.introduction(author.nr).await?;
        member.insert("membership", "join");
        let mut drafts = vec![Draft::state("m.room.create", "", creation), Draft::member(&author.id, member)];
        let levels = self.state_pdu(old, state, StateKey::of(Sym::POWER_LEVELS)).await?;
        let levels = levels.map(|event| event.content().clone()).unwrap_or_default();
        let levels = new_levels(rules, author, creators, power, levels);
        // Who may close a room may lack the power to set all of its state: they have it until all is set.
        let levels = raised(rules, author, &levels).unwrap_or(levels);
        drafts.push(Draft::state("m.room.power_levels", "", levels));
        let kinds = self.0.interner.find_many(KEPT).await?;
        let kinds = KEPT.iter().filter_map(|kind| kinds.get(kind).copied());
        let numbers: Vec<_> = kinds.filter_map(|kind| state.get(&StateKey::of(kind)).copied()).collect();
        drafts.extend(self.again(old, &numbers).await?);
        Ok(drafts)
    }

    /// The power levels of the new room, and those that it begins with where the author needs more to set its state.
    pub(super) async fn levels_of(&self, work: &Work) -> Result<(Object, Option<Object>), UpgradeError> {
        let frame = self.state(work.upgrade.frame).await?;
        let view = self.power_view(&work.old, &frame.state).await?;
        let power = Power::of(work.old.rules, &view)?;
        let levels = view.event("m.room.power_levels", "").map(|event| event.content().clone()).unwrap_or_default();
        let levels = new_levels(work.rules, &work.author, &work.upgrade.creators, &power, levels);
        let raised = raised(work.rules, &work.author, &levels);
        Ok((levels, raised))
    }

    /// What of the old room's state follows after the new room's beginning: who is banned, and what a space holds.
    pub(super) async fn followers_of(&self, work: &Work) -> Result<Vec<EventNr>, UpgradeError> {
        let frame = self.state(work.upgrade.frame).await?;
        let members = storage::member::of_room(&self.0.pool, work.old.nr).await?;
        let banned = members.iter().filter(|m| m.membership == Membership::Ban);
        let banned = banned.map(|m| (StateKey::member(m.user), m.nr));
        let create = self.state_pdu(&work.old, &frame.state, StateKey::of(Sym::CREATE)).await?;
        let is_space = create.is_some_and(|create| create.content().get_str("type") == Some("m.space"));
        let children = of_kind(&frame.state, Sym::SPACE_CHILD).filter(|_| is_space);
        let children = children.map(|(key, nr)| (StateKey::new(Sym::SPACE_CHILD, key), nr));
        let new = self.current_state(&work.new).await?;
        let missing = banned.chain(children).filter(|(key, _)| !new.contains_key(key));
        Ok(missing.map(|(_, nr)| nr).collect())
    }

    /// Drafts that say the same as events of the old room.
    pub(super) async fn again(&self, old: &Room, numbers: &[EventNr]) -> Result<Vec<Draft>, UpgradeError> {
        let mut events = self.pdus(old, numbers).await?;
        let events = numbers.iter().filter_map(|nr| events.remove(nr));
        // Children that were taken out of a space stay out.
        let said = events.filter(|event| !event.content().is_empty());
        let draft =
            |event: Pdu| Draft::state(event.kind(), event.state_key().unwrap_or_default(), event.content().clone());
        Ok(said.map(draft).collect())
    }
}

/// The old room's levels as the new version wants them.
fn new_levels(
    rules: &RoomRules,
    author: &Author,
    creators: &[impl AsRef<str>],
    power: &Power<'_>,
    mut levels: Object,
) -> Object {
    let mut users = levels.take_object("users");
    if rules.auth.privileged_creators {
        users.remove(author.id.as_str());
        for creator in creators {
            users.remove(creator.as_ref());
        }
        let mut events = levels.take_object("events");
        let state_default = levels.get("state_default").and_then(Value::as_integer).unwrap_or(50);
        let tombstone = events.get("m.room.tombstone").and_then(Value::as_integer).unwrap_or(0);
        if tombstone <= state_default.max(100) {
            events.insert("m.room.tombstone", (state_default + 1).max(150));
        }
        levels.insert("events", events);
    } else if power.create().rules().auth.privileged_creators && power.is_creator(author.id.as_str()) {
        // Whoever stood above all levels gets the greatest usual one.
        users.insert(author.id.as_str(), 100_i64);
    }
    levels.insert("users", users);
    levels
}

/// The levels with enough power for the author to set any state; `None` where they have it.
fn raised(rules: &RoomRules, author: &Author, levels: &Object) -> Option<Object> {
    if rules.auth.privileged_creators {
        return None;
    }
    let level = |of: Option<&Object>, key: &str| of?.get(key)?.as_integer();
    let users = levels.get_object("users");
    let has = level(users, author.id.as_str()).or_else(|| level(Some(levels), "users_default")).unwrap_or(0);
    let events = levels.get_object("events").into_iter().flat_map(Object::values).filter_map(Value::as_integer);
    let others = ["state_default", "ban"].map(|key| level(Some(levels), key).unwrap_or(50));
    let needs = events.chain(others).max().unwrap_or(100);
    (has < needs).then(|| {
        let mut raised = levels.clone();
        let mut users = raised.take_object("users");
        users.insert(author.id.as_str(), needs);
        raised.insert("users", users);
        raised
    })
}
