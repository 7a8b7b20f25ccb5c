//! Creating a room: all its first events, committed as one.

use std::{collections::HashMap, sync::Arc};

use roost_spec::{
    auth::Rejection,
    canonical_json::{Object, Value, parse_object},
    event::FormatError,
    room_version::{RoomRules, RoomVersion},
};
use ruma::{OwnedRoomAliasId, OwnedRoomId, OwnedUserId, RoomAliasId, RoomId};
use serde_json::value::RawValue;

use super::{
    Author, Draft, Room, Rooms, WriteError,
    append::{Obstacle, creating, no_head},
    heads::Live,
    preset::{Preset, default_power_levels},
};
use crate::{
    clock::now_ms,
    log::Submitted,
    random,
    storage::{self, Error, RoomNr, UserNr},
};

/// The room that is wished for. JSON is read by the rules of the room's version.
#[derive(Debug, Default)]
pub struct NewRoom {
    pub version: Option<String>,
    /// Listed in the public directory.
    pub public: bool,
    /// By default the one that goes with `public`.
    pub preset: Option<Preset>,
    /// The localpart of the room's first alias.
    pub alias: Option<String>,
    pub name: Option<String>,
    pub topic: Option<String>,
    pub invite: Vec<OwnedUserId>,
    pub is_direct: bool,
    pub creation_content: Option<Box<RawValue>>,
    pub power_levels: Option<Box<RawValue>>,
    pub initial_state: Vec<InitialState>,
}

/// A state event that the room begins with.
#[derive(Debug)]
pub struct InitialState {
    pub kind: String,
    pub state_key: String,
    pub content: Box<RawValue>,
}

/// Why a room was not created.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    #[error("this server does not know room version {0:?}")]
    UnsupportedVersion(String),
    #[error("{0:?} can't be part of a room alias")]
    InvalidAlias(String),
    #[error("the alias {0} is taken")]
    AliasTaken(OwnedRoomAliasId),
    /// The first events contradict each other, or the room's rules.
    #[error("the room can't begin like that: {0}")]
    InvalidState(Rejection),
    #[error("{0}")]
    Write(WriteError),
}

impl<E: Into<WriteError>> From<E> for CreateError {
    fn from(error: E) -> Self {
        match error.into() {
            WriteError::Rejected(rejection) => Self::InvalidState(rejection),
            error => Self::Write(error),
        }
    }
}

/// What a room begins with, as events.
pub(super) struct Plan {
    pub rules: &'static RoomRules,
    pub public: bool,
    pub alias: Option<OwnedRoomAliasId>,
    /// The create event first.
    pub drafts: Vec<Draft>,
}

impl Rooms {
    /// Creates a room and returns when it is on disk.
    ///
    /// # Errors
    /// See [`CreateError`].
    pub async fn create(&self, author: &Author, wish: NewRoom) -> Result<OwnedRoomId, CreateError> {
        let version = match &wish.version {
            None => self.0.default_version,
            Some(text) => RoomVersion::parse(text).ok_or_else(|| CreateError::UnsupportedVersion(text.clone()))?,
        };
        let plan = self.plan(author, version.rules(), wish).await?;
        self.found(author, plan).await.map(|room| room.id.clone())
    }

    async fn plan(&self, author: &Author, rules: &'static RoomRules, wish: NewRoom) -> Result<Plan, CreateError> {
        wish.invite.iter().try_for_each(|user| self.local_user(user))?;
        let alias = wish.alias.as_deref().map(|localpart| self.new_alias(localpart)).transpose()?;
        let preset = wish.preset.unwrap_or(if wish.public { Preset::PublicChat } else { Preset::PrivateChat });
        let names: Vec<&str> =
            [author.id.as_str()].into_iter().chain(wish.invite.iter().map(|user| user.as_str())).collect();
        let numbers = self.0.interner.numbers(&names).await?;
        self.check_invites(&author.id, numbers.get(1..).unwrap_or_default()).await?;
        let mut introductions = self.introductions(&numbers).await?;
        let mut member = |user: UserNr, membership: &str| {
            let mut content = introductions.remove(&user).unwrap_or_default();
            content.insert("membership", membership);
            content
        };

        let object = |json: &RawValue| parse_object(json.get().as_bytes(), rules.numbers);
        let creation = wish.creation_content.as_deref().map(object).transpose()?.unwrap_or_default();
        let trusted = preset == Preset::TrustedPrivateChat;
        let creation = create_content(rules, author, creation, if trusted { &wish.invite } else { &[] })?;
        let mut initial = Vec::with_capacity(wish.initial_state.len());
        for state in wish.initial_state {
            initial.push(Draft::state(&state.kind, &state.state_key, object(&state.content)?));
        }
        let given = |initial: &[Draft], kind: &str| {
            initial.iter().position(|draft| draft.kind == kind && draft.state_key.as_deref() == Some(""))
        };

        let mut drafts = vec![Draft::state("m.room.create", "", creation)];
        drafts.push(Draft::member(&author.id, member(author.nr, "join")));
        match given(&initial, "m.room.power_levels") {
            Some(at) => drafts.push(initial.remove(at)),
            None => {
                let mut levels = default_power_levels(rules, author, preset, &wish.invite);
                if let Some(over) = wish.power_levels.as_deref().map(object).transpose()? {
                    for (key, value) in over.iter() {
                        levels.insert(key, value.clone());
                    }
                }
                drafts.push(Draft::state("m.room.power_levels", "", levels));
            }
        }
        if let Some(alias) = &alias {
            let content = Object::from([("alias", alias.as_str())]);
            drafts.push(Draft::state("m.room.canonical_alias", "", content));
        }
        for (kind, key, value) in preset.state() {
            if given(&initial, kind).is_none() {
                drafts.push(Draft::state(kind, "", Object::from([(key, value)])));
            }
        }
        drafts.append(&mut initial);
        if let Some(name) = &wish.name {
            drafts.push(Draft::state("m.room.name", "", Object::from([("name", name.as_str())])));
        }
        if let Some(topic) = &wish.topic {
            drafts.push(Draft::state("m.room.topic", "", topic_content(topic)));
        }
        let mut invited = HashMap::new();
        for (user, nr) in wish.invite.iter().zip(numbers.iter().skip(1)) {
            if invited.insert(nr, user).is_some() {
                continue;
            }
            let mut content = member(*nr, "invite");
            if wish.is_direct {
                content.insert("is_direct", true);
            }
            drafts.push(Draft::member(user, content));
        }
        Ok(Plan { rules, public: wish.public, alias, drafts })
    }

    /// Creates the room that `plan` describes.
    pub(super) async fn found(&self, author: &Author, plan: Plan) -> Result<Arc<Room>, CreateError> {
        let Plan { rules, public, alias, drafts } = plan;
        let steps = self.steps(rules, author, drafts).await?;
        let mut numbers = self.0.log.numbers(1 + 2 * steps.len()).await?;
        let nr = numbers.room().ok_or_else(|| Error::Inconsistent("no number for a room".to_owned()))?;
        let now = now_ms();
        let random = format!("!{}:{}", random::name(18), self.0.server_name);
        let unnamed = Room { nr, id: parse_room_id(&random)?, rules };
        let room = match steps.first() {
            Some(create) if rules.room_id_is_create_hash => {
                // The same event comes out again below: nothing about it is random.
                let create = self.first(&unnamed, author, create, now)?;
                Arc::new(Room { id: parse_room_id(create.room_id())?, ..unnamed })
            }
            _ => Arc::new(unnamed),
        };

        let built = self.build(&room, author, &steps, &no_head(), &HashMap::new(), &mut numbers, now, None);
        let built = built.map_err(|obstacle| match obstacle {
            Obstacle::Refused(error) => CreateError::from(error),
            // Whatever these events need stands among them.
            Obstacle::Dead | Obstacle::Missing(_) => {
                Error::Inconsistent("a new room asks for events of another".to_owned()).into()
            }
        })?;
        if let Some(alias) = &alias
            && !storage::alias::take(&self.0.pool, alias.as_str(), nr, author.nr, now).await?
        {
            return Err(CreateError::AliasTaken(alias.clone()));
        }

        let live = Arc::new(Live::new(no_head()));
        self.insert_head(nr, &live);
        let submitted = {
            let mut state = live.lock();
            let submitted = self.0.log.submit(creating(built.write, &room, public));
            state.advance(built.head);
            submitted
        };
        let outcome = match submitted {
            Ok(pending) => pending.outcome().await,
            Err(error) => Err(error),
        };
        match outcome {
            Ok(Submitted::Stored { pos, beside }) => {
                if beside {
                    self.0.caches.heads.kill(nr, &live);
                }
                self.see(pos).await;
            }
            refused => {
                self.0.caches.heads.kill(nr, &live);
                self.release(alias.as_deref(), nr).await;
                refused.map_err(WriteError::from)?;
                return Err(CreateError::Write(WriteError::Contended));
            }
        }
        self.0.caches.known.insert(&room);
        Ok(room)
    }

    /// Gives back the alias of a room that was not created. Where that fails, the alias is free by itself after a while.
    async fn release(&self, alias: Option<&RoomAliasId>, nr: RoomNr) {
        if let Some(alias) = alias
            && let Err(error) = storage::alias::free(&self.0.pool, alias.as_str(), nr).await
        {
            tracing::warn!(%error, "the alias of a room that was not created is still taken");
        }
    }

    fn new_alias(&self, localpart: &str) -> Result<OwnedRoomAliasId, CreateError> {
        let invalid = || CreateError::InvalidAlias(localpart.to_owned());
        let odd = |c: char| c == ':' || c == '#' || c.is_whitespace() || c.is_control();
        if localpart.is_empty() || localpart.contains(odd) {
            return Err(invalid());
        }
        RoomAliasId::parse(format!("#{localpart}:{}", self.0.server_name)).map_err(|_| invalid())
    }
}

fn parse_room_id(text: &str) -> Result<OwnedRoomId, CreateError> {
    RoomId::parse(text)
        .map_err(|_| Error::Inconsistent("a room's ID of our own making can't be read".to_owned()).into())
}

/// The content of the create event. What the server decides stands above what the client says.
fn create_content(
    rules: &'static RoomRules,
    author: &Author,
    mut content: Object,
    trusted: &[OwnedUserId],
) -> Result<Object, CreateError> {
    content.insert("room_version", rules.version.as_str());
    if rules.auth.creator_is_sender {
        content.remove("creator");
    } else {
        content.insert("creator", author.id.as_str());
    }
    if rules.auth.privileged_creators && !trusted.is_empty() {
        let mut creators = match content.remove("additional_creators") {
            None => Vec::new(),
            Some(Value::Array(creators)) => creators,
            Some(_) => return Err(FormatError::WrongType("additional_creators").into()),
        };
        for user in trusted.iter().filter(|user| **user != author.id) {
            let user = Value::from(user.as_str());
            if !creators.contains(&user) {
                creators.push(user);
            }
        }
        content.insert("additional_creators", Value::Array(creators));
    }
    distinguish(rules, &mut content);
    Ok(content)
}

/// Makes a create event unlike every other where the room's ID is its hash: two rooms that one user begins alike within one
/// millisecond are still two rooms.
pub(super) fn distinguish(rules: &RoomRules, content: &mut Object) {
    if rules.room_id_is_create_hash {
        content.insert("roost.nonce", random::name(12).as_str());
    }
}

/// The topic as older and as newer clients read it.
fn topic_content(topic: &str) -> Object {
    let text = Value::Array(vec![Object::from([("body", topic)]).into()]);
    Object::from([("m.topic", Value::Object(Object::from([("m.text", text)]))), ("topic", Value::from(topic))])
}
