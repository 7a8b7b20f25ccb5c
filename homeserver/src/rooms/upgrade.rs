//! Upgrading a room: a new one takes its place, with its state, and the old one says where it is.

use roost_spec::{
    auth::{Action, Power, Rejection},
    canonical_json::{Object, Value},
    event::content::Membership,
    room_version::{RoomRules, RoomVersion},
};
use ruma::{OwnedRoomId, OwnedUserId, RoomId};

use super::{
    AliasError, Author, CreateError, Draft, Head, Room, Rooms, StateKey, WriteError,
    create::{Plan, distinguish},
    state::of_kind,
};
use crate::storage::{self, Sym};

/// Why a room was not upgraded.
#[derive(Debug, thiserror::Error)]
pub enum UpgradeError {
    #[error("this server does not know room version {0:?}")]
    UnsupportedVersion(String),
    #[error(transparent)]
    Create(#[from] CreateError),
    #[error(transparent)]
    Alias(#[from] AliasError),
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl From<storage::Error> for UpgradeError {
    fn from(error: storage::Error) -> Self {
        Self::Write(error.into())
    }
}

impl From<Rejection> for UpgradeError {
    fn from(rejection: Rejection) -> Self {
        Self::Write(rejection.into())
    }
}

/// State that a new room takes over, apart from members, power levels and the canonical alias.
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
    /// Replaces `room` with a new one of version `version`, and returns the new room.
    ///
    /// # Errors
    /// See [`UpgradeError`].
    pub async fn upgrade(
        &self,
        author: &Author,
        room: &RoomId,
        version: &str,
        additional_creators: &[OwnedUserId],
    ) -> Result<OwnedRoomId, UpgradeError> {
        let rules =
            RoomVersion::parse(version).ok_or_else(|| UpgradeError::UnsupportedVersion(version.to_owned()))?.rules();
        let old = self.find(room).await?.ok_or(WriteError::UnknownRoom)?;
        let head = self.head(&old).await?;
        if self.membership_in(&old, &head, author.nr).await? != Some(Membership::Join) {
            return Err(WriteError::UnknownRoom.into());
        }
        let view = self.power_view(&old, &head).await?;
        let power = Power::of(old.rules, &view)?;
        let (has, needs) = (power.of_user(author.id.as_str())?, power.needed_to_send("m.room.tombstone", true)?);
        if !has.reaches(needs) {
            return Err(Rejection::Power { action: Action::SendState, needs, has }.into());
        }

        let row = storage::room::by_nr(&self.0.pool, &[old.nr]).await?;
        let public = row.first().is_some_and(|row| row.public);
        let drafts = self.successor(author, &old, &head, rules, additional_creators, &power).await?;
        let new = self.found(author, Plan { rules, public, alias: None, drafts }).await?;

        let tombstone = Object::from([("body", "This room has been replaced"), ("replacement_room", new.id.as_str())]);
        self.append_one(&old, author, Draft::state("m.room.tombstone", "", tombstone)).await?;
        self.move_names(author, &old, &new, public).await?;
        self.quieten(author, &old).await?;
        Ok(new.id.clone())
    }

    /// The first events of the room that takes the place of `old`.
    async fn successor(
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
        let is_space = creation.get_str("type") == Some("m.space");

        let mut member = self.introduction(author.nr).await?;
        member.insert("membership", "join");
        let mut drafts = vec![Draft::state("m.room.create", "", creation), Draft::member(&author.id, member)];
        let levels = self.state_pdu(old, state, StateKey::of(Sym::POWER_LEVELS)).await?;
        let levels = levels.map(|event| event.content().clone()).unwrap_or_default();
        let levels = new_levels(rules, author, creators, power, levels);
        // Who may close a room may lack the power to set all of its state: they have it until all is set.
        let raised = raised(rules, author, &levels);
        drafts.push(Draft::state("m.room.power_levels", "", raised.clone().unwrap_or_else(|| levels.clone())));

        let mut kept: Vec<&str> = KEPT.to_vec();
        if is_space {
            kept.push("m.space.child");
        }
        let kinds = self.0.interner.numbers(&kept).await?;
        let mut numbers: Vec<_> = kinds.iter().flat_map(|kind| of_kind(state, *kind).map(|(_, nr)| nr)).collect();
        let members = storage::member::of_room(&self.0.pool, old.nr).await?;
        numbers.extend(members.iter().filter(|m| m.membership == storage::Membership::Ban).map(|m| m.nr));
        let mut events = self.pdus(old, &numbers).await?;
        for event in numbers.iter().filter_map(|nr| events.remove(nr)) {
            // Children that were taken out of a space stay out.
            if event.content().is_empty() {
                continue;
            }
            drafts.push(Draft::state(event.kind(), event.state_key().unwrap_or_default(), event.content().clone()));
        }
        if raised.is_some() {
            drafts.push(Draft::state("m.room.power_levels", "", levels));
        }
        Ok(drafts)
    }

    /// Aliases and the place in the directory go to the new room.
    async fn move_names(&self, author: &Author, old: &Room, new: &Room, public: bool) -> Result<(), UpgradeError> {
        storage::alias::move_all(&self.0.pool, old.nr, new.nr).await?;
        if public {
            storage::room::set_public(&self.0.pool, old.nr, false).await?;
        }
        self.tell(old.nr).await?;
        self.tell(new.nr).await?;
        if let Some(canonical) = self.current(old, "m.room.canonical_alias", "").await?
            && !canonical.content().is_empty()
        {
            let content = canonical.content().clone();
            self.if_allowed(old, author, Draft::state("m.room.canonical_alias", "", Object::new())).await?;
            self.if_allowed(new, author, Draft::state("m.room.canonical_alias", "", content)).await?;
        }
        Ok(())
    }

    /// Leaves talking and inviting in the old room to moderators.
    async fn quieten(&self, author: &Author, old: &Room) -> Result<(), UpgradeError> {
        let Some(levels) = self.current(old, "m.room.power_levels", "").await? else { return Ok(()) };
        let mut content = levels.content().clone();
        let level = |content: &Object, key: &str| content.get(key).and_then(Value::as_integer).unwrap_or(0);
        let quiet = (level(&content, "users_default") + 1).max(50);
        for key in ["events_default", "invite"] {
            if level(&content, key) < quiet {
                content.insert(key, quiet);
            }
        }
        if &content == levels.content() {
            return Ok(());
        }
        self.if_allowed(old, author, Draft::state("m.room.power_levels", "", content)).await
    }

    /// What is fine to have, but no reason to fail.
    async fn if_allowed(&self, room: &Room, author: &Author, draft: Draft) -> Result<(), UpgradeError> {
        match self.append_one(room, author, draft).await {
            Ok(_) | Err(WriteError::Rejected(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// The old room's levels as the new version wants them.
fn new_levels(
    rules: &RoomRules,
    author: &Author,
    creators: &[OwnedUserId],
    power: &Power<'_>,
    mut levels: Object,
) -> Object {
    let mut users = levels.take_object("users");
    if rules.auth.privileged_creators {
        users.remove(author.id.as_str());
        for creator in creators {
            users.remove(creator.as_str());
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
