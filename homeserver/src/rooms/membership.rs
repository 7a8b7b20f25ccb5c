//! Memberships: join, knock, leave, invite, kick, ban, unban, forget.
//!
//! What the room's rules decide is left to them, and what holds for every event to `door`; here stands what the endpoints
//! promise beyond: a kick is no unban, a join of who is in is no event.

use std::sync::Arc;

use futures::TryStreamExt;
use roost_spec::canonical_json::Object;
use ruma::{OwnedRoomId, OwnedServerName, RoomId, RoomOrAliasId, UserId};

use super::{Author, Draft, Head, Room, Rooms, StateKey, WriteError};
use crate::{
    log::{Notice, Writes},
    storage::{self, Membership, UserNr},
};

/// Rooms in which one user's membership is changed at a time, where it changes in all of them.
const AT_ONCE: usize = 8;

impl Rooms {
    /// Joins a room by its ID or an alias. Who is in already stays in, without a new event. What the user says of
    /// themselves in this room stands above their profile.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub async fn join(
        &self,
        author: &Author,
        room: &RoomOrAliasId,
        _via: &[OwnedServerName],
        said: &serde_json::Map<String, serde_json::Value>,
    ) -> Result<OwnedRoomId, WriteError> {
        let room = self.enter(room).await?;
        let head = self.head(&room).await?;
        if self.membership_in(&room, &head, author.nr).await? == Some(Membership::Join) {
            return Ok(room.id.clone());
        }
        let mut content = self.introduction(author.nr).await?;
        for (key, value) in Object::from_serialize(said, room.rules.numbers)?.iter() {
            content.insert(key, value.clone());
        }
        content.insert("membership", Membership::Join.as_str());
        self.append_one(&room, author, Draft::member(&author.id, content)).await?;
        Ok(room.id.clone())
    }

    /// Asks to be let into a room.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub async fn knock(
        &self,
        author: &Author,
        room: &RoomOrAliasId,
        _via: &[OwnedServerName],
        reason: Option<&str>,
    ) -> Result<OwnedRoomId, WriteError> {
        let room = self.enter(room).await?;
        let content = self.introduce(author.nr, Membership::Knock, reason).await?;
        self.append_one(&room, author, Draft::member(&author.id, content)).await?;
        Ok(room.id.clone())
    }

    /// Leaves a room, or takes back a knock, or refuses an invite. Who has left already stays out, without a new event.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub async fn leave(&self, author: &Author, room: &RoomId, reason: Option<&str>) -> Result<(), WriteError> {
        let room = self.find(room).await?.ok_or(WriteError::UnknownRoom)?;
        let head = self.head(&room).await?;
        match self.membership_in(&room, &head, author.nr).await? {
            None => return Err(WriteError::UnknownRoom),
            Some(Membership::Leave) => return Ok(()),
            Some(_) => {}
        }
        self.append_one(&room, author, Draft::member(&author.id, bare(Membership::Leave, reason))).await?;
        Ok(())
    }

    /// Invites a user.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub async fn invite(
        &self,
        author: &Author,
        room: &RoomId,
        user: &UserId,
        reason: Option<&str>,
    ) -> Result<(), WriteError> {
        let room = self.find(room).await?.ok_or(WriteError::UnknownRoom)?;
        let content = match self.0.interner.find(user.as_str()).await? {
            Some(target) => self.introduce(target, Membership::Invite, reason).await?,
            None => bare(Membership::Invite, reason),
        };
        self.append_one(&room, author, Draft::member(user, content)).await?;
        Ok(())
    }

    /// Takes a user out of the room, or takes their invite or knock back.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub async fn kick(
        &self,
        author: &Author,
        room: &RoomId,
        user: &UserId,
        reason: Option<&str>,
    ) -> Result<(), WriteError> {
        let allowed = |before| match before {
            Some(Membership::Join | Membership::Invite | Membership::Knock) => Ok(()),
            Some(Membership::Ban) => Err(WriteError::Membership("the user is banned; a kick would lift the ban")),
            _ => Err(WriteError::Membership("the user is not in the room")),
        };
        self.moderate(author, room, user, bare(Membership::Leave, reason), allowed).await
    }

    /// Keeps a user out.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub async fn ban(
        &self,
        author: &Author,
        room: &RoomId,
        user: &UserId,
        reason: Option<&str>,
    ) -> Result<(), WriteError> {
        self.moderate(author, room, user, bare(Membership::Ban, reason), |_| Ok(())).await
    }

    /// Lifts a ban.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub async fn unban(
        &self,
        author: &Author,
        room: &RoomId,
        user: &UserId,
        reason: Option<&str>,
    ) -> Result<(), WriteError> {
        let allowed = |before| match before {
            Some(Membership::Ban) => Ok(()),
            _ => Err(WriteError::Membership("the user is not banned from the room")),
        };
        self.moderate(author, room, user, bare(Membership::Leave, reason), allowed).await
    }

    /// Hides a room that the user has left from what they see. `false` where they are still in it.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub async fn forget(&self, author: &Author, room: &RoomId) -> Result<bool, WriteError> {
        let room = self.find(room).await?.ok_or(WriteError::UnknownRoom)?;
        if self.membership(room.nr, author.nr).await?.is_none() {
            return Err(WriteError::UnknownRoom);
        }
        let forgotten = storage::member::forget(&self.0.pool, author.nr, room.nr).await? == 1;
        if forgotten {
            self.0.caches.members.touch(author.nr);
            let notices = vec![Notice::User(author.nr)];
            self.0.log.write(Writes { notices, ..Writes::default() }).await?;
        }
        Ok(forgotten)
    }

    /// Leaves all rooms, and refuses all invites: for a user who leaves the server. Rooms that do not let go are passed
    /// over.
    ///
    /// # Errors
    /// The database's own, and [`WriteError::Contended`]: repeat it.
    pub async fn leave_all(&self, author: &Author) -> Result<(), WriteError> {
        use Membership::{Invite, Join, Knock};
        let memberships = self.memberships(author.nr).await?;
        let rooms: Vec<_> =
            memberships.all.iter().filter(|m| matches!(m.membership, Join | Invite | Knock)).map(|m| m.room).collect();
        let rooms = self.find_many(&rooms).await?;
        futures::stream::iter(rooms.values().map(Ok::<_, WriteError>))
            .try_for_each_concurrent(AT_ONCE, |room| async move {
                match self.leave(author, &room.id, None).await {
                    Err(error @ (WriteError::Storage(_) | WriteError::Log(_) | WriteError::Contended)) => Err(error),
                    Err(error) => {
                        tracing::warn!(%error, room = %room.id, "a room could not be left");
                        Ok(())
                    }
                    Ok(()) => Ok(()),
                }
            })
            .await
    }

    /// Shows the user's present name and picture in all rooms that they are in.
    ///
    /// # Errors
    /// The database's own.
    pub async fn republish_profile(&self, author: &Author) -> Result<(), WriteError> {
        let profile = self.introduction(author.nr).await?;
        let rooms = self.joined_rooms(author.nr).await?;
        let rooms = self.find_many(&rooms).await?;
        let profile = &profile;
        futures::stream::iter(rooms.values().map(Ok::<_, WriteError>))
            .try_for_each_concurrent(AT_ONCE, |room| async move {
                match self.republish_in(room, author, profile).await {
                    Err(error @ (WriteError::Storage(_) | WriteError::Log(_))) => Err(error),
                    Err(error) => {
                        tracing::debug!(%error, room = %room.id, "a room keeps the older profile");
                        Ok(())
                    }
                    Ok(()) => Ok(()),
                }
            })
            .await
    }

    async fn republish_in(&self, room: &Room, author: &Author, profile: &Object) -> Result<(), WriteError> {
        let Some(current) = self.current(room, "m.room.member", author.id.as_str()).await? else { return Ok(()) };
        if current.content().get_str("membership") != Some("join") {
            return Ok(());
        }
        let mut content = current.content().clone();
        for key in ["displayname", "avatar_url", "reason"] {
            content.remove(key);
        }
        for (key, value) in profile.iter() {
            content.insert(key, value.clone());
        }
        if &content != current.content() {
            self.append_one(room, author, Draft::member(&author.id, content)).await?;
        }
        Ok(())
    }

    async fn moderate(
        &self,
        author: &Author,
        room: &RoomId,
        user: &UserId,
        content: Object,
        allowed: impl FnOnce(Option<Membership>) -> Result<(), WriteError>,
    ) -> Result<(), WriteError> {
        let room = self.find(room).await?.ok_or(WriteError::UnknownRoom)?;
        let head = self.head(&room).await?;
        if self.membership_in(&room, &head, author.nr).await? != Some(Membership::Join) {
            return Err(WriteError::UnknownRoom);
        }
        let before = match self.0.interner.find(user.as_str()).await? {
            Some(target) => self.membership_in(&room, &head, target).await?,
            None => None,
        };
        allowed(before)?;
        self.append_one(&room, author, Draft::member(user, content)).await?;
        Ok(())
    }

    /// The room that is to be entered.
    async fn enter(&self, room: &RoomOrAliasId) -> Result<Arc<Room>, WriteError> {
        let id = match <&RoomId>::try_from(room) {
            Ok(id) => id.to_owned(),
            Err(alias) => self.resolve_alias(alias).await?.ok_or(WriteError::UnreachableRoom)?,
        };
        self.find(&id).await?.ok_or(WriteError::UnreachableRoom)
    }

    pub(super) async fn membership_in(
        &self,
        room: &Room,
        head: &Head,
        user: UserNr,
    ) -> Result<Option<Membership>, WriteError> {
        let event = self.state_pdu(room, &head.frame.state, StateKey::member(user)).await?;
        let word = event.as_ref().and_then(|event| event.content().get_str("membership"));
        Ok(word.and_then(Membership::parse))
    }

    /// A membership with the user's name and picture.
    async fn introduce(
        &self,
        user: UserNr,
        membership: Membership,
        reason: Option<&str>,
    ) -> Result<Object, WriteError> {
        let mut content = self.introduction(user).await?;
        for (key, value) in bare(membership, reason).iter() {
            content.insert(key, value.clone());
        }
        Ok(content)
    }
}

/// A membership and nothing else but a reason.
fn bare(membership: Membership, reason: Option<&str>) -> Object {
    let mut content = Object::from([("membership", membership.as_str())]);
    if let Some(reason) = reason {
        content.insert("reason", reason);
    }
    content
}
