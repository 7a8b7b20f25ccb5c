//! Creating a room: all its first events, committed as one.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use roost_spec::{
    auth::Rejection,
    canonical_json::{Object, Value, parse_object},
    event::FormatError,
    room_version::{RoomRules, RoomVersion},
};
use ruma::{OwnedRoomAliasId, OwnedRoomId, OwnedUserId, RoomAliasId, RoomId};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{
    Author, Draft, Room, Rooms, WriteError,
    append::{Built, Obstacle, creating, no_head},
    door::Destination,
    draft::Steps,
    heads::Live,
    preset::{Preset, default_power_levels},
};
use crate::{
    clock::now_ms,
    log::Submitted,
    random,
    storage::{self, Error, RoomNr},
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

/// So many users are invited with a room at most; more can be afterwards.
pub const MOST_INVITATIONS: usize = 200;
/// So many state events may be given at most.
pub const MOST_INITIAL_STATE: usize = 200;

impl NewRoom {
    /// How many invitations it stands for.
    pub fn invitations(&self) -> usize {
        self.invite.len()
            + self.initial_state.iter().filter(|state| is_invitation(&state.kind, state.content.get())).count()
    }

    fn check_size(&self) -> Result<(), WriteError> {
        if self.initial_state.len() > MOST_INITIAL_STATE {
            return Err(WriteError::TooMany { what: "events in `initial_state`", most: MOST_INITIAL_STATE });
        }
        match self.invite.len() <= MOST_INVITATIONS {
            true => Ok(()),
            false => Err(WriteError::TooMany { what: "invitations with a new room", most: MOST_INVITATIONS }),
        }
    }
}

/// Whether a state event of this type and content invites somebody.
pub fn is_invitation(kind: &str, content: &str) -> bool {
    #[derive(Deserialize)]
    struct Member {
        membership: String,
    }
    kind == "m.room.member" && serde_json::from_str(content).is_ok_and(|member: Member| member.membership == "invite")
}

/// What a room begins with, as events.
pub(super) struct Plan {
    pub rules: &'static RoomRules,
    pub public: bool,
    pub alias: Option<OwnedRoomAliasId>,
    /// The create event first.
    pub drafts: Vec<Draft>,
}

/// A room whose first events are made, and not written yet.
pub(super) struct Founding {
    pub room: Arc<Room>,
    public: bool,
    alias: Option<OwnedRoomAliasId>,
    built: Built,
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
        wish.check_size()?;
        let alias = wish.alias.as_deref().map(|localpart| self.new_alias(localpart)).transpose()?;
        let preset = wish.preset.unwrap_or(if wish.public { Preset::PublicChat } else { Preset::PrivateChat });
        let invited: Vec<&str> = wish.invite.iter().map(|user| user.as_str()).collect();
        let mut numbers = self.0.interner.find_many(invited.iter().copied()).await?;
        numbers.insert(author.id.as_str(), author.nr);
        let mut introductions = self.introductions(&numbers.values().copied().collect::<Vec<_>>()).await?;
        let mut member = |user: &str, membership: &str| {
            let introduction = numbers.get(user).and_then(|nr| introductions.remove(nr));
            let mut content = introduction.unwrap_or_default();
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
        drafts.push(Draft::member(&author.id, member(author.id.as_str(), "join")));
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
        let mut invited = HashSet::new();
        for user in wish.invite.iter().filter(|user| invited.insert(user.as_str())) {
            let mut content = member(user.as_str(), "invite");
            if wish.is_direct {
                content.insert("is_direct", true);
            }
            drafts.push(Draft::member(user, content));
        }
        Ok(Plan { rules, public: wish.public, alias, drafts })
    }

    /// Creates the room that `plan` describes.
    async fn found(&self, author: &Author, plan: Plan) -> Result<Arc<Room>, CreateError> {
        let founding = self.lay(author, plan).await?;
        self.raise(author, founding).await
    }

    /// Makes the first events of the room that `plan` describes. Nothing is written yet.
    pub(super) async fn lay(&self, author: &Author, plan: Plan) -> Result<Founding, CreateError> {
        let Plan { rules, public, alias, mut drafts } = plan;
        self.examine(Destination::New { alias: alias.as_deref() }, author, &mut drafts).await?;
        let mut steps = self.steps(rules, author, drafts).await?;
        let count = 2 * steps.list.len();
        let mut numbers = self.0.log.numbers(1 + if steps.are_unnumbered() { 2 * count } else { count }).await?;
        let nr = numbers.room().ok_or_else(|| Error::Inconsistent("no number for a room".to_owned()))?;
        let now = now_ms();
        let random = format!("!{}:{}", random::name(18), self.0.server_name);
        let unnamed = Room { nr, id: parse_room_id(&random)?, rules };
        let room = match steps.list.first() {
            Some(create) if rules.room_id_is_create_hash => {
                // The same event comes out again below: nothing about it is random.
                let create = self.first(&unnamed, author, create, now)?;
                Arc::new(Room { id: parse_room_id(create.room_id())?, ..unnamed })
            }
            _ => Arc::new(unnamed),
        };
        let mut build = |steps: &Steps| {
            let built = self.build(&room, author, &steps.list, &no_head(), &HashMap::new(), &mut numbers, now, None);
            built.map_err(|obstacle| match obstacle {
                Obstacle::Refused(error) => CreateError::from(error),
                // Whatever these events need stands among them.
                Obstacle::Dead | Obstacle::Missing(_) | Obstacle::Unnumbered => {
                    Error::Inconsistent("a new room asks for events of another".to_owned()).into()
                }
            })
        };
        let mut built = build(&steps)?;
        built.check_size()?;
        if steps.are_unnumbered() {
            // All of it is allowed, so that its strings may have their numbers.
            steps.number(&self.0.interner).await?;
            built = build(&steps)?;
        }
        Ok(Founding { room, public, alias, built })
    }

    /// Writes a room's first events.
    pub(super) async fn raise(&self, author: &Author, founding: Founding) -> Result<Arc<Room>, CreateError> {
        let Founding { room, public, alias, built } = founding;
        let nr = room.nr;
        if let Some(alias) = &alias
            && !storage::alias::take(&self.0.pool, alias.as_str(), nr, author.nr, now_ms()).await?
        {
            return Err(CreateError::AliasTaken(alias.clone()));
        }

        self.keep(&built);
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
