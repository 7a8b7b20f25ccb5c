//! An event as this server keeps it in memory: its places, its text, and where in the text the parts lie that clients see.

use std::{borrow::Cow, ops::Range, sync::Arc};

use serde::{Deserialize, de::DeserializeOwned};

use super::StateKey;
use crate::{
    log::LogEvent,
    storage::{
        DeviceNr, Error, EventNr, FrameNr, Membership, Pos, Result, RoomNr, Sym, UserNr,
        event::{Stored, WITHHELD},
    },
};

/// An event, parsed as far as clients' answers need.
#[derive(Debug)]
pub struct StoredEvent {
    pub nr: EventNr,
    pub room: RoomNr,
    pub id: Arc<str>,
    /// Place in the log; `None` for an outlier, a rejected or a soft-failed event.
    pub pos: Option<Pos>,
    /// Place in the room's history; absent where `pos` is.
    pub ord: Option<i64>,
    pub kind: Sym,
    pub sender: UserNr,
    pub state_key: Option<Sym>,
    /// `origin_server_ts`.
    pub ts: i64,
    /// The room's state after the event.
    pub frame: FrameNr,
    /// The state event that this one took the place of.
    pub replaces: Option<EventNr>,
    /// The membership, of an `m.room.member`.
    pub membership: Option<Membership>,
    /// The sending device and the client's transaction ID.
    pub txn: Option<(DeviceNr, Arc<str>)>,
    pub redacted_by: Option<EventNr>,
    /// A redaction that can't be judged yet: shown to nobody.
    pub withheld: bool,
    /// As it goes over federation; redacted where it was redacted.
    pub json: Arc<str>,
    parts: Parts,
}

type Span = Range<u32>;

/// Where the values of top-level keys lie in the text; empty where there is none.
#[derive(Debug, Default, PartialEq, Eq)]
struct Parts {
    content: Span,
    sender: Span,
    kind: Span,
    state_key: Span,
    room_id: Span,
    redacts: Span,
}

impl StoredEvent {
    /// From a row.
    ///
    /// # Errors
    /// If the text is no event.
    pub fn from_row(row: Stored) -> Result<Self> {
        let parts = Parts::find(&row.json).ok_or_else(|| damaged(row.nr))?;
        let mut event = Self {
            nr: row.nr,
            room: row.room,
            id: row.id.into(),
            pos: row.pos,
            ord: row.ord,
            kind: row.kind,
            sender: row.sender,
            state_key: row.state_key,
            ts: row.ts,
            frame: row.frame,
            replaces: row.replaces,
            membership: None,
            txn: row.device.zip(row.txn_id.map(Arc::from)),
            redacted_by: row.redacted_by,
            withheld: row.flags & WITHHELD != 0,
            json: row.json.into(),
            parts,
        };
        if event.kind == Sym::MEMBER && event.state_key.is_some() {
            event.membership = event.read_content::<Member>().and_then(|c| Membership::parse(&c.membership));
        }
        Ok(event)
    }

    /// From the log.
    ///
    /// # Errors
    /// If the text is no event.
    pub fn from_log(event: &LogEvent) -> Result<Self> {
        Ok(Self {
            nr: event.nr,
            room: event.room,
            id: Arc::clone(&event.id),
            pos: Some(event.pos),
            ord: Some(event.ord),
            kind: event.kind,
            sender: event.sender,
            state_key: event.state_key,
            ts: event.ts,
            frame: event.frame,
            replaces: event.replaces,
            membership: event.membership,
            txn: event.txn.clone(),
            redacted_by: None,
            withheld: event.flags & WITHHELD != 0,
            json: Arc::clone(&event.json),
            parts: Parts::find(&event.json).ok_or_else(|| damaged(event.nr))?,
        })
    }

    /// A copy without content, as a redaction leaves a message.
    pub fn emptied(&self) -> Option<Self> {
        let at = usize::try_from(self.parts.content.start).ok()?..usize::try_from(self.parts.content.end).ok()?;
        let mut json = self.json.to_string();
        json.replace_range(at, "{}");
        let parts = Parts::find(&json)?;
        let (id, txn) = (Arc::clone(&self.id), self.txn.clone());
        Some(Self { id, txn, json: json.into(), parts, ..*self })
    }

    /// What it is state of, if it is a state event.
    pub fn state(&self) -> Option<StateKey> {
        self.state_key.map(|key| StateKey::new(self.kind, key))
    }

    /// The content, a JSON object.
    pub fn content(&self) -> &str {
        self.part(&self.parts.content)
    }

    /// The content as `T`; `None` where it does not look like one.
    pub fn read_content<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_str(self.content()).ok()
    }

    /// The value of a key of the content, as JSON.
    pub fn content_value(&self, key: &str) -> Option<&str> {
        let content = self.content();
        entries(content)?.into_iter().find(|(k, _)| *k == key).and_then(|(_, at)| text(content, &at))
    }

    /// The sender, a JSON string.
    pub fn sender_json(&self) -> &str {
        self.part(&self.parts.sender)
    }

    /// The type, a JSON string.
    pub fn kind_json(&self) -> &str {
        self.part(&self.parts.kind)
    }

    /// The sender.
    pub fn sender_text(&self) -> Cow<'_, str> {
        unquoted(self.sender_json())
    }

    /// The type.
    pub fn kind_text(&self) -> Cow<'_, str> {
        unquoted(self.kind_json())
    }

    /// The state key.
    pub fn state_key_text(&self) -> Option<Cow<'_, str>> {
        self.state_key_json().map(unquoted)
    }

    /// The state key, a JSON string.
    pub fn state_key_json(&self) -> Option<&str> {
        Some(self.part(&self.parts.state_key)).filter(|text| !text.is_empty())
    }

    /// The room ID, a JSON string; of a create event that does not state it, made of its own ID.
    pub fn room_id_json(&self) -> Cow<'_, str> {
        match self.part(&self.parts.room_id) {
            "" => Cow::Owned(format!("\"!{}\"", self.id.trim_start_matches('$'))),
            stated => Cow::Borrowed(stated),
        }
    }

    /// Top-level `redacts`, as JSON.
    pub fn redacts_json(&self) -> Option<&str> {
        Some(self.part(&self.parts.redacts)).filter(|text| !text.is_empty())
    }

    /// About how many bytes it takes in memory.
    pub fn weight(&self) -> u32 {
        u32::try_from(self.json.len() + self.id.len() + 320).unwrap_or(u32::MAX)
    }

    fn part(&self, span: &Span) -> &str {
        text(&self.json, span).unwrap_or_default()
    }
}

#[derive(Deserialize)]
struct Member {
    membership: String,
}

/// What a JSON string says.
fn unquoted(json: &str) -> Cow<'_, str> {
    match json.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(plain) if !plain.contains('\\') => Cow::Borrowed(plain),
        _ => Cow::Owned(serde_json::from_str(json).unwrap_or_default()),
    }
}

fn damaged(nr: EventNr) -> Error {
    Error::Inconsistent(format!("the text of event {} can't be read", nr.0))
}

fn text<'a>(json: &'a str, span: &Span) -> Option<&'a str> {
    json.get(usize::try_from(span.start).ok()?..usize::try_from(span.end).ok()?)
}

impl Parts {
    fn find(json: &str) -> Option<Self> {
        let mut parts = Self::default();
        for (key, span) in entries(json)? {
            match key {
                "content" => parts.content = span,
                "sender" => parts.sender = span,
                "type" => parts.kind = span,
                "state_key" => parts.state_key = span,
                "room_id" => parts.room_id = span,
                "redacts" => parts.redacts = span,
                _ => {}
            }
        }
        let whole = !parts.content.is_empty() && !parts.sender.is_empty() && !parts.kind.is_empty();
        whole.then_some(parts)
    }
}

/// The keys of a JSON object, as they are written, and where their values lie. The text is known to be JSON.
fn entries(json: &str) -> Option<Vec<(&str, Span)>> {
    let bytes = json.as_bytes();
    let mut found = Vec::with_capacity(16);
    let mut at = skip_space(bytes, 0);
    if bytes.get(at) != Some(&b'{') {
        return None;
    }
    loop {
        at = skip_space(bytes, at + 1);
        if bytes.get(at) == Some(&b'}') {
            return Some(found);
        }
        let key_end = skip_string(bytes, at)?;
        let key = json.get(at + 1..key_end - 1)?;
        at = skip_space(bytes, key_end);
        if bytes.get(at) != Some(&b':') {
            return None;
        }
        let start = skip_space(bytes, at + 1);
        let end = skip_value(bytes, start)?;
        found.push((key, u32::try_from(start).ok()?..u32::try_from(end).ok()?));
        at = skip_space(bytes, end);
        match bytes.get(at)? {
            b',' => {}
            b'}' => return Some(found),
            _ => return None,
        }
    }
}

fn skip_space(bytes: &[u8], mut at: usize) -> usize {
    while bytes.get(at).is_some_and(u8::is_ascii_whitespace) {
        at += 1;
    }
    at
}

/// The place after the string that begins at `at`.
fn skip_string(bytes: &[u8], mut at: usize) -> Option<usize> {
    if bytes.get(at) != Some(&b'"') {
        return None;
    }
    loop {
        at += 1;
        match bytes.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 1,
            _ => {}
        }
    }
}

fn skip_value(bytes: &[u8], mut at: usize) -> Option<usize> {
    let mut depth = 0_usize;
    loop {
        match bytes.get(at)? {
            b'"' => at = skip_string(bytes, at)?,
            b'{' | b'[' => {
                depth += 1;
                at += 1;
            }
            b'}' | b']' => {
                depth = depth.checked_sub(1)?;
                at += 1;
            }
            // A separator inside an object or an array; outside it ends a number or a word, below.
            b',' | b':' if depth > 0 => at += 1,
            byte if byte.is_ascii_whitespace() => at += 1,
            _ => {
                while bytes.get(at).is_some_and(|b| !matches!(b, b',' | b':' | b'}' | b']') && !b.is_ascii_whitespace())
                {
                    at += 1;
                }
            }
        }
        if depth == 0 {
            return Some(at);
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// An event with this text, of room 1.
    pub fn stored(nr: i64, kind: Sym, state_key: Option<Sym>, json: &str) -> StoredEvent {
        StoredEvent::from_row(Stored {
            nr: EventNr(nr),
            room: RoomNr(1),
            id: format!("$e{nr}"),
            pos: Some(Pos(nr)),
            ord: Some(nr * 1000),
            kind,
            sender: Sym(1000),
            state_key,
            ts: 500,
            depth: nr,
            frame: FrameNr(nr),
            replaces: None,
            flags: 0,
            device: None,
            txn_id: None,
            json: json.to_owned(),
            redacted_by: None,
        })
        .unwrap()
    }

    #[test]
    fn parts_are_found_between_anything_else() {
        let json = r#"{"auth_events":[["$a",{"sha256":"}"}]],"content":{"a\"}":[1,{"b":"]\\"}],"n":-1.5e3},"depth":12,
            "redacts":"$x","room_id":"!r:s","sender":"@u:s","state_key":"","type":"m.test","z":null}"#;
        let event = stored(1, Sym(2000), Some(Sym::EMPTY), json);
        assert_eq!(event.content(), r#"{"a\"}":[1,{"b":"]\\"}],"n":-1.5e3}"#);
        assert_eq!((event.sender_json(), event.kind_json()), (r#""@u:s""#, r#""m.test""#));
        assert_eq!((event.state_key_json(), event.redacts_json()), (Some(r#""""#), Some(r#""$x""#)));
        assert_eq!(event.room_id_json(), r#""!r:s""#);
        assert_eq!(event.content_value("n"), Some("-1.5e3"));
        assert_eq!(event.content_value("b"), None);
    }

    #[test]
    fn a_create_event_without_room_id_makes_it_of_its_own() {
        let event =
            stored(7, Sym::CREATE, Some(Sym::EMPTY), r#"{"content":{},"sender":"@u:s","type":"m.room.create"}"#);
        assert_eq!(event.room_id_json(), r#""!e7""#);
        assert_eq!(event.state_key_json(), None);
    }

    #[test]
    fn what_is_no_event_is_told() {
        for json in ["", "[]", "{", r#"{"content":{}}"#, r#"{"content":{"a""#, r#"{"content":1]}"#] {
            assert_eq!(Parts::find(json), None, "{json}");
        }
    }

    #[test]
    fn memberships_are_read() {
        let json = r#"{"content":{"membership":"knock"},"sender":"@u:s","type":"m.room.member"}"#;
        assert_eq!(stored(1, Sym::MEMBER, Some(Sym(1000)), json).membership, Some(Membership::Knock));
        assert_eq!(stored(1, Sym::MEMBER, None, json).membership, None);
    }
}
