//! A backup's sessions as one JSON object, read and written piece by piece: a whole backup may be hundreds of megabytes.

use axum::{
    body::{Body, Bytes},
    http::header::CONTENT_TYPE,
    response::{IntoResponse, Response},
};
use futures::stream;
use ruma::OwnedRoomId;
use serde_json::Value;

use super::sessions::shown;
use crate::{
    keys::Keys,
    storage::{self, UserNr, key_backup::Session},
};

/// Reads on from the last session that was written.
struct Writer {
    keys: Keys,
    user: UserNr,
    version: i64,
    room: Option<OwnedRoomId>,
    /// Room and session.
    last: (String, String),
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Empty,
    Within,
    Done,
}

/// `{"rooms": {ROOM: {"sessions": {SESSION: …}}}}`
pub(super) async fn all(keys: Keys, user: UserNr, version: i64) -> storage::Result<Response> {
    answer(Writer::new(keys, user, version, None)).await
}

/// `{"sessions": {SESSION: …}}`
pub(super) async fn of_room(keys: Keys, user: UserNr, version: i64, room: OwnedRoomId) -> storage::Result<Response> {
    answer(Writer::new(keys, user, version, Some(room))).await
}

/// The first piece is read before anything is answered, so that a database that is away is a status and no broken body.
async fn answer(mut writer: Writer) -> storage::Result<Response> {
    let first = writer.piece().await?;
    let rest = stream::try_unfold(writer, async |mut writer| match writer.state {
        State::Done => Ok::<_, storage::Error>(None),
        _ => Ok(Some((Bytes::from(writer.piece().await?), writer))),
    });
    let pieces = stream::StreamExt::chain(stream::iter([Ok(Bytes::from(first))]), rest);
    Ok(([(CONTENT_TYPE, "application/json")], Body::from_stream(pieces)).into_response())
}

impl Writer {
    fn new(keys: Keys, user: UserNr, version: i64, room: Option<OwnedRoomId>) -> Self {
        Self { keys, user, version, room, last: Default::default(), state: State::Empty }
    }

    /// The next piece of the text.
    async fn piece(&mut self) -> storage::Result<String> {
        let (room, after) = (self.room.as_deref(), (&*self.last.0, &*self.last.1));
        let page = self.keys.sessions_after(self.user, self.version, room, after).await?;
        let mut text = String::new();
        if self.state == State::Empty {
            text.push_str(if self.room.is_some() { "{\"sessions\":{" } else { "{\"rooms\":{" });
        }
        if page.is_empty() {
            text.push_str(self.end());
            self.state = State::Done;
            return Ok(text);
        }
        for session in page {
            self.write(session, &mut text)?;
        }
        Ok(text)
    }

    fn write(&mut self, session: Session, text: &mut String) -> storage::Result<()> {
        let is_first = self.state == State::Empty;
        if self.room.is_none() && (is_first || session.room_id != self.last.0) {
            text.push_str(if is_first { "" } else { "}}," });
            text.push_str(&Value::from(&*session.room_id).to_string());
            text.push_str(":{\"sessions\":{");
        } else if !is_first {
            text.push(',');
        }
        self.state = State::Within;
        self.last = (session.room_id.clone(), session.session_id.clone());
        text.push_str(&Value::from(&*session.session_id).to_string());
        text.push(':');
        let json = serde_json::to_string(&shown(session)?);
        text.push_str(&json.map_err(|error| storage::Error::Inconsistent(error.to_string()))?);
        Ok(())
    }

    fn end(&self) -> &'static str {
        match (&self.room, self.state) {
            (Some(_), _) | (None, State::Empty) => "}}",
            (None, _) => "}}}}",
        }
    }
}
