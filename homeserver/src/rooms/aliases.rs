//! Aliases of this server's rooms, and the public directory's word on each room.

use std::{collections::HashSet, sync::Arc};

use roost_spec::{
    auth::Power,
    canonical_json::{Object, Value},
    event::Pdu,
};
use ruma::{OwnedRoomAliasId, OwnedRoomId, RoomAliasId, RoomId};

use super::{Author, Draft, Room, Rooms, StateKey, StateMap, WriteError};
use crate::{
    clock::now_ms,
    log::{Notice, Writes},
    storage::{self, Membership, RoomNr, Sym},
    users::Requester,
};

/// Why an alias, or the directory, stays as it is.
#[derive(Debug, thiserror::Error)]
pub enum AliasError {
    #[error("{0} belongs to another server; here are only aliases of this one")]
    NotOurs(OwnedRoomAliasId),
    #[error("the alias {0} is taken")]
    Taken(OwnedRoomAliasId),
    #[error("there is no alias {0}")]
    Unknown(OwnedRoomAliasId),
    #[error("there is no such room here, or you are not in it")]
    UnknownRoom,
    #[error("{0}")]
    Forbidden(&'static str),
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error(transparent)]
    Log(#[from] crate::log::Error),
    #[error(transparent)]
    Storage(#[from] storage::Error),
}

impl Rooms {
    /// The room that an alias leads to; `None` where it leads nowhere that this server knows.
    ///
    /// # Errors
    /// The database's own.
    pub async fn resolve_alias(&self, alias: &RoomAliasId) -> storage::Result<Option<OwnedRoomId>> {
        if *alias.server_name() != *self.0.server_name || alias.as_str().contains('\0') {
            return Ok(None);
        }
        let found = storage::alias::find(&self.0.pool, alias.as_str()).await?;
        Ok(found.and_then(|row| RoomId::parse(&row.room_id).ok()))
    }

    /// Those of `aliases` that lead to `room`; one query at most.
    pub(super) async fn aliases_leading_to(&self, room: RoomNr, aliases: &[&str]) -> storage::Result<HashSet<String>> {
        if aliases.is_empty() {
            return Ok(HashSet::new());
        }
        Ok(storage::alias::leading_to(&self.0.pool, room, aliases).await?.into_iter().collect())
    }

    /// Makes `alias` lead to `room`. The author must be in it.
    ///
    /// # Errors
    /// See [`AliasError`].
    pub async fn create_alias(&self, author: &Author, alias: &RoomAliasId, room: &RoomId) -> Result<(), AliasError> {
        if *alias.server_name() != *self.0.server_name {
            return Err(AliasError::NotOurs(alias.to_owned()));
        }
        let room = self.joined_room(author, room).await?;
        if !storage::alias::take(&self.0.pool, alias.as_str(), room.nr, author.nr, now_ms()).await? {
            return Err(AliasError::Taken(alias.to_owned()));
        }
        self.tell(room.nr).await
    }

    /// Takes an alias away: its creator may, who may name the room's main alias, and a server's administrator. If the
    /// room's canonical alias event lists it and the author may change that, it is taken out there too.
    ///
    /// # Errors
    /// See [`AliasError`].
    pub async fn delete_alias(&self, requester: &Requester, alias: &RoomAliasId) -> Result<(), AliasError> {
        let unknown = || AliasError::Unknown(alias.to_owned());
        let row = storage::alias::find(&self.0.pool, alias.as_str()).await?.ok_or_else(unknown)?;
        let room = self.find_nr(row.room).await?;
        let author = Author::from(requester);
        let may_name = self.may_name(&room, &author).await?;
        if row.creator != author.nr && !requester.admin && !may_name {
            return Err(AliasError::Forbidden("only who made an alias, or may name the room, can take it away"));
        }
        if !storage::alias::free(&self.0.pool, alias.as_str(), row.room).await? {
            return Err(unknown());
        }
        if may_name {
            self.unlist(&room, &author, alias).await?;
        }
        self.tell(room.nr).await
    }

    /// The aliases that lead to a room, for who is in it or may look in.
    ///
    /// # Errors
    /// See [`AliasError`].
    pub async fn aliases_of(&self, author: &Author, room: &RoomId) -> Result<Vec<String>, AliasError> {
        let room = self.find(room).await?.ok_or(AliasError::UnknownRoom)?;
        let joined = self.membership(room.nr, author.nr).await? == Some(Membership::Join);
        if !joined {
            let visibility = self.current(&room, "m.room.history_visibility", "").await?;
            let visibility = visibility.as_ref().and_then(|event| event.content().get_str("history_visibility"));
            if visibility != Some("world_readable") {
                return Err(AliasError::UnknownRoom);
            }
        }
        Ok(storage::alias::of_room(&self.0.pool, room.nr).await?)
    }

    /// Whether the public directory lists the room; `None` where there is no such room.
    ///
    /// # Errors
    /// The database's own.
    pub async fn is_public(&self, room: &RoomId) -> storage::Result<Option<bool>> {
        if room.as_str().contains('\0') {
            return Ok(None);
        }
        Ok(storage::room::by_id(&self.0.pool, room.as_str()).await?.map(|row| row.public))
    }

    /// Lists the room in the public directory, or takes it off. Needs the power to name the room's main alias.
    ///
    /// # Errors
    /// See [`AliasError`].
    pub async fn set_public(&self, requester: &Requester, room: &RoomId, public: bool) -> Result<(), AliasError> {
        let room = self.find(room).await?.ok_or(AliasError::UnknownRoom)?;
        if !requester.admin && !self.may_name(&room, &Author::from(requester)).await? {
            return Err(AliasError::Forbidden("you may not change how the directory shows this room"));
        }
        if !storage::room::set_public(&self.0.pool, room.nr, public).await? {
            return Err(AliasError::UnknownRoom);
        }
        self.tell(room.nr).await
    }

    pub(super) async fn tell(&self, room: RoomNr) -> Result<(), AliasError> {
        let notices = vec![Notice::Room(room)];
        self.0.log.write(Writes { notices, ..Writes::default() }).await?;
        Ok(())
    }

    async fn joined_room(&self, author: &Author, room: &RoomId) -> Result<Arc<Room>, AliasError> {
        let room = self.find(room).await?.ok_or(AliasError::UnknownRoom)?;
        if self.membership(room.nr, author.nr).await? != Some(Membership::Join) {
            return Err(AliasError::UnknownRoom);
        }
        Ok(room)
    }

    /// Whether the author is in the room and may send its canonical alias event.
    async fn may_name(&self, room: &Room, author: &Author) -> Result<bool, AliasError> {
        let head = self.head(room).await?;
        if self.membership_in(room, &head, author.nr).await? != Some(Membership::Join) {
            return Ok(false);
        }
        let view = self.power_view(room, &head.frame.state).await?;
        let power = Power::of(room.rules, &view).map_err(WriteError::from)?;
        let needs = power.needed_to_send("m.room.canonical_alias", true).map_err(WriteError::from)?;
        Ok(power.of_user(author.id.as_str()).map_err(WriteError::from)?.reaches(needs))
    }

    /// The state that says who may do what.
    pub(super) async fn power_view(&self, room: &Room, state: &StateMap) -> storage::Result<Vec<Pdu>> {
        let keys = [StateKey::of(Sym::CREATE), StateKey::of(Sym::POWER_LEVELS)];
        let numbers: Vec<_> = keys.iter().filter_map(|key| state.get(key).copied()).collect();
        Ok(self.pdus(room, &numbers).await?.into_values().collect())
    }

    async fn unlist(&self, room: &Room, author: &Author, alias: &RoomAliasId) -> Result<(), AliasError> {
        let Some(current) = self.current(room, "m.room.canonical_alias", "").await? else { return Ok(()) };
        let content = without(current.content(), alias.as_str());
        if &content == current.content() {
            return Ok(());
        }
        match self.append_one(room, author, Draft::state("m.room.canonical_alias", "", content)).await {
            // The rights were looked at, but may be gone meanwhile: the alias is, too.
            Ok(_) | Err(WriteError::Rejected(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// The content of a canonical alias event without one alias.
fn without(content: &Object, alias: &str) -> Object {
    let mut content = content.clone();
    if content.get_str("alias") == Some(alias) {
        content.remove("alias");
    }
    let mut rest = None;
    if let Some(Value::Array(listed)) = content.get("alt_aliases") {
        rest = Some(listed.iter().filter(|entry| entry.as_str() != Some(alias)).cloned().collect::<Vec<_>>());
    }
    if let Some(rest) = rest {
        content.insert("alt_aliases", Value::Array(rest));
    }
    content
}

#[cfg(test)]
mod tests {
    use roost_spec::canonical_json::{Numbers, parse_object};

    use super::*;

    #[test]
    fn an_alias_that_is_gone_is_listed_nowhere() {
        let content =
            parse_object(br##"{"alias":"#a:b","alt_aliases":["#c:d","#a:b"],"x":1}"##, Numbers::Strict).unwrap();
        assert_eq!(without(&content, "#a:b").to_string(), r##"{"alt_aliases":["#c:d"],"x":1}"##);
        assert_eq!(without(&content, "#z:b"), content);
    }
}
