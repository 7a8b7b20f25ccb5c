//! Sending: messages, state and redactions.

use std::sync::Arc;

use roost_spec::{
    canonical_json::{Object, Value, parse_object},
    event::Pdu,
};
use ruma::{EventId, RoomId};

use super::{
    Author, Draft, Room, Rooms, StateKey, WriteError,
    draft::{Redaction, RedactionTarget},
};
use crate::{
    storage::{
        Membership, Sym,
        commit::{Txn, TxnKey},
    },
    users::Requester,
};

impl Rooms {
    /// Sends an event that is no state. Repeating a `txn_id` returns the event that the first call created.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub async fn send(
        &self,
        requester: &Requester,
        room: &RoomId,
        kind: &str,
        content: &str,
        txn_id: &str,
    ) -> Result<Arc<str>, WriteError> {
        let key = TxnKey::new(requester.device, &["PUT", "send", room.as_str(), kind, txn_id]);
        let act = async {
            let room = self.find(room).await?.ok_or(WriteError::UnknownRoom)?;
            let mut draft = Draft::message(kind, parse_object(content.as_bytes(), room.rules.numbers)?);
            draft.txn = Some(Txn { key, id: txn_id.into() });
            if kind == "m.room.redaction" {
                let redacts = draft.content.get_str("redacts");
                let redacts =
                    redacts.ok_or(WriteError::BadContent("a redaction must say what it `redacts`"))?.to_owned();
                draft.redaction = Some(self.redaction(&room, &redacts).await?);
            }
            self.check_relation(&room, requester.user, kind, &draft.content).await?;
            self.append_one(&room, &requester.into(), draft).await
        };
        self.once(key, act).await
    }

    /// Redacts an event, for a reason that may be given. Repeating a `txn_id` returns the first call's redaction.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub async fn redact(
        &self,
        requester: &Requester,
        room: &RoomId,
        event: &EventId,
        txn_id: &str,
        content: Object,
    ) -> Result<Arc<str>, WriteError> {
        let key = TxnKey::new(requester.device, &["PUT", "redact", room.as_str(), event.as_str(), txn_id]);
        let act = async {
            let room = self.find(room).await?.ok_or(WriteError::UnknownRoom)?;
            let mut draft = Draft::message("m.room.redaction", content);
            draft.txn = Some(Txn { key, id: txn_id.into() });
            draft.redaction = Some(self.redaction(&room, event.as_str()).await?);
            self.append_one(&room, &requester.into(), draft).await
        };
        self.once(key, act).await
    }

    /// Sets a piece of state. Where it is what it was, nothing is written, and the event that set it is the answer.
    ///
    /// # Errors
    /// See [`WriteError`].
    pub async fn set_state(
        &self,
        requester: &Requester,
        room: &RoomId,
        kind: &str,
        state_key: &str,
        content: &str,
    ) -> Result<Arc<str>, WriteError> {
        let room = self.find(room).await?.ok_or(WriteError::UnknownRoom)?;
        let draft = Draft::state(kind, state_key, parse_object(content.as_bytes(), room.rules.numbers)?);
        let author = Author::from(requester);
        if let Some(known) = self.unchanged(&room, &author, &draft).await? {
            return Ok(known);
        }
        self.append_one(&room, &author, draft).await
    }

    pub(super) async fn append_one(&self, room: &Room, author: &Author, draft: Draft) -> Result<Arc<str>, WriteError> {
        let ids = self.append(room, author, vec![draft]).await?;
        ids.into_iter().next().ok_or(WriteError::UnknownEvent)
    }

    /// The current event under the draft's key, if the same sender has set the same content.
    pub(super) async fn unchanged(
        &self,
        room: &Room,
        author: &Author,
        draft: &Draft,
    ) -> Result<Option<Arc<str>>, WriteError> {
        let Some(current) = self.current(room, &draft.kind, draft.state_key.as_deref().unwrap_or_default()).await?
        else {
            return Ok(None);
        };
        let same = current.content() == &draft.content && current.sender() == author.id.as_str();
        // Whoever has left is to hear that.
        let inside = same && self.membership(room.nr, author.nr).await? == Some(Membership::Join);
        Ok(inside.then(|| current.event_id().into()))
    }

    /// The current state event of the given type and state key, parsed.
    pub(super) async fn current(&self, room: &Room, kind: &str, state_key: &str) -> Result<Option<Pdu>, WriteError> {
        let (Some(kind), Some(key)) = (self.0.interner.find(kind).await?, self.0.interner.find(state_key).await?)
        else {
            return Ok(None);
        };
        let state = self.current_state(room).await?;
        Ok(self.state_pdu(room, &state, StateKey::new(kind, key)).await?)
    }

    /// What is left of the event that is to be redacted, if the room has it.
    async fn redaction(&self, room: &Room, event_id: &str) -> Result<Redaction, WriteError> {
        let target = match self.event_by_id(room.nr, event_id).await? {
            None => None,
            Some(event) if event.kind == Sym::CREATE || event.kind == Sym::SERVER_ACL => {
                return Err(WriteError::NotRedactable);
            }
            Some(event) => {
                let redacted = Pdu::parse_trusted(room.rules, &event.json, Some(&event.id))?.redacted()?;
                Some(RedactionTarget { nr: event.nr, sender: event.sender, redacted: redacted.json().into() })
            }
        };
        Ok(Redaction { event_id: event_id.to_owned(), target })
    }
}

/// `alias` and `alt_aliases` of a canonical alias event.
pub(super) fn listed_aliases(content: &Object) -> Result<Vec<&str>, WriteError> {
    const WRONG: WriteError = WriteError::BadContent("`alias` must be a string and `alt_aliases` a list of strings");
    let mut aliases = Vec::new();
    match content.get("alias") {
        None | Some(Value::Null) => {}
        // Clients take an alias away by an empty one.
        Some(Value::String(alias)) => aliases.extend(Some(&**alias).filter(|alias| !alias.is_empty())),
        Some(_) => return Err(WRONG),
    }
    match content.get("alt_aliases") {
        None | Some(Value::Null) => {}
        Some(Value::Array(listed)) => {
            for alias in listed {
                aliases.push(alias.as_str().ok_or(WRONG)?);
            }
        }
        Some(_) => return Err(WRONG),
    }
    Ok(aliases)
}
