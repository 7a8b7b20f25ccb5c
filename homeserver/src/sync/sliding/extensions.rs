//! Extensions: what `/sync` has beside rooms' timelines and state.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use super::{
    super::{
        Sync, Token,
        account_data::Notes,
        device_lists::DeviceLists,
        scope::{Moved, Standing},
        to_device::LIMIT,
        typing::Typing,
    },
    Extension, Extensions, ToDevice,
    call::Call,
    connection::Sent,
    rooms::{Body, Part},
    window::{Due, Named},
};
use crate::{
    keys::KeyCounts,
    storage::{self, Pos, Result, RoomNr, UserNr, sync::Receipt},
};

/// The enabled extensions' parts of an answer.
#[derive(Default)]
pub(super) struct Extra {
    /// Whole events, and the token from which the client goes on.
    pub to_device: Option<(Vec<String>, Token)>,
    pub e2ee: Option<(DeviceLists, Arc<KeyCounts>)>,
    pub account_data: Option<Notes>,
    pub receipts: Option<HashMap<RoomNr, Vec<Receipt>>>,
    pub typing: Option<Typing>,
}

/// What the extensions look at.
pub(super) struct Surroundings<'a> {
    pub call: &'a Call,
    pub standing: &'a Standing,
    /// `None` at the beginning of a connection.
    pub from: Option<&'a Token>,
    pub moved: &'a [Moved],
    pub touched: &'a BTreeSet<RoomNr>,
    pub named: &'a [(Named, Due)],
    pub sent: &'a Sent,
    pub parts: &'a [Part],
}

impl Extra {
    /// Whether there is no news. Key counts are none.
    pub fn is_empty(&self) -> bool {
        self.to_device.as_ref().is_none_or(|(events, _)| events.is_empty())
            && self.e2ee.as_ref().is_none_or(|(lists, _)| lists.is_empty())
            && self.account_data.as_ref().is_none_or(|notes| notes.global.is_empty() && notes.rooms.is_empty())
            && self.receipts.as_ref().is_none_or(HashMap::is_empty)
            && self.typing.as_ref().is_none_or(|typing| typing.rooms.is_empty())
    }
}

impl Sync {
    /// Gathers what the enabled extensions tell.
    ///
    /// # Errors
    /// The database's own.
    pub(super) async fn extra(&self, enabled: &Extensions, look: &Surroundings<'_>) -> Result<Extra> {
        let mut extra = Extra::default();
        if let Some(asked) = &enabled.to_device {
            extra.to_device = Some(self.sliding_to_device(asked, look).await?);
        }
        if enabled.e2ee {
            extra.e2ee =
                Some((self.sliding_lists(look).await?, self.key_counts(look.call.reader.device, false).await?));
        }
        if let Some(about) = &enabled.account_data {
            extra.account_data = Some(self.sliding_account_data(about, look).await?);
        }
        if let Some(about) = &enabled.receipts {
            extra.receipts = Some(self.sliding_receipts(about, look).await?);
        }
        if let Some(about) = &enabled.typing {
            let rooms: Vec<RoomNr> = look.about(about).map(|(named, _)| named.room.nr).collect();
            extra.typing = Some(self.typing(&rooms, look.from));
        }
        Ok(extra)
    }

    /// What they tell where there is no news up to `until`.
    ///
    /// # Errors
    /// The database's own.
    pub(super) async fn nothing_extra(&self, call: &Call, until: Pos) -> Result<Extra> {
        let enabled = &call.request.extensions;
        let mut extra = Extra::default();
        if enabled.to_device.is_some() {
            extra.to_device = Some((Vec::new(), self.messages_token(until)));
        }
        if enabled.e2ee {
            extra.e2ee = Some((DeviceLists::default(), self.key_counts(call.reader.device, true).await?));
        }
        Ok(extra)
    }

    async fn sliding_to_device(&self, asked: &ToDevice, look: &Surroundings<'_>) -> Result<(Vec<String>, Token)> {
        let limit = asked.limit.map_or(LIMIT, |limit| i64::try_from(limit).unwrap_or(LIMIT).clamp(1, LIMIT));
        let Surroundings { call, standing, .. } = look;
        let messages = self.to_device(call.reader.device, call.messages, standing.until, limit).await?;
        Ok((messages.events, self.messages_token(messages.until)))
    }

    /// The token that says that messages up to `pos` were received. It names the generation, as every token does.
    fn messages_token(&self, pos: Pos) -> Token {
        Token { generation: self.0.log.generation(), pos, to_device: pos, ..Token::default() }
    }

    async fn sliding_lists(&self, look: &Surroundings<'_>) -> Result<DeviceLists> {
        let Some(from) = look.from else { return Ok(DeviceLists::default()) };
        let (user, until) = (look.call.reader.user, look.standing.until);
        let stayed = Self::stayed(look.touched.iter().copied(), look.moved);
        self.device_lists(user, &stayed, Vec::new(), look.moved, (from.pos, until)).await
    }

    async fn sliding_account_data(&self, about: &Extension, look: &Surroundings<'_>) -> Result<Notes> {
        let until = look.standing.until;
        let mut notes = self.account_data(&look.call.reader, look.from.map(|token| token.pos), until).await?;
        let new: Vec<RoomNr> =
            look.about(about).filter(|(_, due)| due.since.is_none()).map(|(named, _)| named.room.nr).collect();
        let known = |room: &RoomNr| look.sent.rooms.contains_key(room) || new.contains(room);
        notes.rooms.retain(|room, _| known(room));
        if look.from.is_some() {
            notes.rooms.extend(self.account_data_of(look.call.reader.user, &new, until).await?.rooms);
        }
        Ok(notes)
    }

    async fn sliding_receipts(
        &self,
        about: &Extension,
        look: &Surroundings<'_>,
    ) -> Result<HashMap<RoomNr, Vec<Receipt>>> {
        let (reader, until) = (look.call.reader.user, look.standing.until);
        let (new, known): (Vec<_>, Vec<_>) = look.about(about).partition(|(_, due)| due.since.is_none());
        let known: Vec<(RoomNr, Pos)> =
            known.iter().filter_map(|(named, due)| Some((named.room.nr, due.since?))).collect();
        let mut receipts = self.receipts(&known, until, reader).await?;
        if !new.is_empty() {
            let rooms: Vec<RoomNr> = new.iter().map(|(named, _)| named.room.nr).collect();
            let inside = look.parts.iter().filter_map(|part| match &part.body {
                Body::Inside(inside) => Some(&inside.looked.shape.shown),
                Body::Outside(_) => None,
            });
            let shown: Vec<&str> = inside.flatten().map(|shown| &*shown.event.id).collect();
            for receipt in storage::sync::receipts_on(&self.0.pool, &rooms, &shown, until, reader).await? {
                receipts.entry(receipt.room).or_default().push(receipt);
            }
        }
        receipts.retain(|_, receipts| !receipts.is_empty());
        Ok(receipts)
    }
}

impl Surroundings<'_> {
    /// The rooms that an extension is about.
    fn about<'s>(&'s self, extension: &'s Extension) -> impl Iterator<Item = &'s (Named, Due)> {
        self.named.iter().filter(|(named, _)| extension.is_about(&named.room.id, &named.lists, named.subscribed))
    }
}

/// The users whose names an answer needs.
pub(super) fn users(extra: &Extra) -> BTreeSet<UserNr> {
    let mut users = BTreeSet::new();
    if let Some((lists, _)) = &extra.e2ee {
        users.extend(lists.changed.iter().chain(&lists.left));
    }
    users.extend(extra.receipts.iter().flat_map(|receipts| receipts.values().flatten().map(|receipt| receipt.user)));
    users.extend(extra.typing.iter().flat_map(|typing| typing.rooms.values().flatten()));
    users
}
