//! Events as clients see them: parts of the stored text, joined anew; nothing is parsed and written again.
//!
//! Source: client-server API, "Room event format" and "Stripped state".

use std::{
    collections::{HashMap, HashSet},
    fmt::Write,
    sync::Arc,
};

use serde_json::value::RawValue;

use super::{
    Rooms, StoredEvent,
    relations::{Bundle, Bundles, REFERENCE, REPLACE, THREAD},
};
use crate::storage::{DeviceNr, Error, EventNr, Membership, Result, Sym, UserNr};

/// For whom events are rendered, and how.
#[derive(Debug, Clone, Copy)]
pub struct View {
    /// The reader's device: it alone is told its transaction IDs.
    pub device: Option<DeviceNr>,
    /// The current time, for `age`.
    pub now: i64,
    /// With `room_id`: everywhere apart from `/sync`.
    pub room_id: bool,
    /// With what a state event took the place of (`prev_content`).
    pub previous: bool,
}

/// An event with what the reader's relation to it adds.
#[derive(Debug, Clone)]
pub struct Shown {
    pub event: Arc<StoredEvent>,
    /// The reader's membership at the event.
    pub membership: Option<Membership>,
}

impl From<Arc<StoredEvent>> for Shown {
    fn from(event: Arc<StoredEvent>) -> Self {
        Self { event, membership: None }
    }
}

/// Events that others refer to: what they replace, what redacted them, and the sums of what relates to them.
#[derive(Debug, Default)]
pub struct Beside {
    referred: HashMap<EventNr, Arc<StoredEvent>>,
    pub(super) bundles: Bundles,
}

impl Rooms {
    /// What rendering `events` needs besides; one query at most, none as a rule.
    ///
    /// # Errors
    /// The database's own.
    pub async fn beside(&self, events: impl IntoIterator<Item = &StoredEvent>, view: &View) -> Result<Beside> {
        let mut wanted = Vec::new();
        for event in events {
            wanted.extend(event.redacted_by);
            wanted.extend(event.replaces.filter(|_| view.previous));
        }
        if wanted.is_empty() {
            return Ok(Beside::default());
        }
        wanted.sort_unstable();
        wanted.dedup();
        let found = self.events(&wanted).await?;
        let referred = found.into_iter().map(|event| (event.nr, event)).collect();
        Ok(Beside { referred, ..Beside::default() })
    }

    /// The events as clients see them, in their order.
    ///
    /// # Errors
    /// The database's own.
    pub async fn render(&self, events: &[Shown], view: &View) -> Result<Vec<Box<RawValue>>> {
        let beside = self.beside(events.iter().map(|shown| &*shown.event), view).await?;
        events.iter().map(|shown| client_event(&shown.event, shown.membership, view, &beside)).collect()
    }

    /// As [`Rooms::render`], with the sums of what relates to the events.
    ///
    /// # Errors
    /// The database's own.
    pub async fn render_bundled(
        &self,
        events: &[Shown],
        view: &View,
        reader: UserNr,
        ignored: &HashSet<UserNr>,
    ) -> Result<Vec<Box<RawValue>>> {
        let mut beside = self.beside(events.iter().map(|shown| &*shown.event), view).await?;
        self.bundle(&mut beside, events.iter().map(|shown| &*shown.event), reader, ignored).await?;
        events.iter().map(|shown| client_event(&shown.event, shown.membership, view, &beside)).collect()
    }
}

/// One event as a client sees it.
///
/// # Errors
/// If the stored text is no JSON after all.
pub fn client_event(
    event: &StoredEvent,
    membership: Option<Membership>,
    view: &View,
    beside: &Beside,
) -> Result<Box<RawValue>> {
    let mut out = String::with_capacity(event.content().len() + 512);
    write_client_event(&mut out, event, membership, view, beside);
    raw(event, out)
}

/// Writes one event as a client sees it: for answers that are joined of many.
pub fn write_client_event(
    out: &mut String,
    event: &StoredEvent,
    membership: Option<Membership>,
    view: &View,
    beside: &Beside,
) {
    write_whole(out, event, membership, view, beside, NESTED);
}

/// The last answer of a thread comes with its own edit: so deep events stand in each other at most.
const NESTED: u32 = 2;

fn write_whole(
    out: &mut String,
    event: &StoredEvent,
    membership: Option<Membership>,
    view: &View,
    beside: &Beside,
    nested: u32,
) {
    write_event(out, event, view.room_id);
    out.push_str(",\"unsigned\":{\"age\":");
    push_number(out, view.now.saturating_sub(event.ts).max(0));
    if let Some(bundle) = beside.bundles.of(event.nr).filter(|_| nested > 0) {
        out.push_str(",\"m.relations\":");
        // Wherever it stands, a child is told where it belongs.
        let view = View { room_id: true, previous: false, ..*view };
        write_bundle(out, bundle, &view, beside, nested - 1);
    }
    if let Some(membership) = membership {
        out.push_str(",\"membership\":\"");
        out.push_str(membership.as_str());
        out.push('"');
    }
    if let Some(previous) = event.replaces.filter(|_| view.previous).and_then(|nr| beside.referred.get(&nr)) {
        out.push_str(",\"prev_content\":");
        out.push_str(previous.content());
        out.push_str(",\"prev_sender\":");
        out.push_str(previous.sender_json());
        out.push_str(",\"replaces_state\":");
        push_string(out, &previous.id);
    }
    if let Some(redaction) = event.redacted_by.and_then(|nr| beside.referred.get(&nr)) {
        // The reference server's word, by which alone some clients know a redacted event.
        out.push_str(",\"redacted_by\":");
        push_string(out, &redaction.id);
        out.push_str(",\"redacted_because\":");
        write_event(out, redaction, true);
        out.push_str(",\"unsigned\":{\"age\":");
        push_number(out, view.now.saturating_sub(redaction.ts).max(0));
        out.push_str("}}");
    }
    if let Some((_, txn)) = event.txn.as_ref().filter(|(device, _)| Some(*device) == view.device) {
        out.push_str(",\"transaction_id\":");
        push_string(out, txn);
    }
    out.push_str("}}");
}

fn write_bundle(out: &mut String, bundle: &Bundle, view: &View, beside: &Beside, nested: u32) {
    let mut separator = '{';
    let mut section = |out: &mut String, name: &str| {
        out.push(std::mem::replace(&mut separator, ','));
        push_string(out, name);
        out.push(':');
    };
    if let Some(edit) = &bundle.edit {
        section(out, REPLACE);
        write_whole(out, edit, None, view, beside, 0);
    }
    if !bundle.references.is_empty() {
        section(out, REFERENCE);
        for (i, id) in bundle.references.iter().enumerate() {
            out.push_str(if i == 0 { "{\"chunk\":[{\"event_id\":" } else { ",{\"event_id\":" });
            push_string(out, id);
            out.push('}');
        }
        out.push_str("]}");
    }
    if let Some(thread) = &bundle.thread {
        section(out, THREAD);
        out.push_str("{\"latest_event\":");
        write_whole(out, &thread.latest, None, view, beside, nested);
        out.push_str(",\"count\":");
        push_number(out, thread.count);
        out.push_str(",\"current_user_participated\":");
        out.push_str(if thread.participated { "true}" } else { "false}" });
    }
    out.push('}');
}

/// A state event as those see it who are not (yet) in the room.
///
/// # Errors
/// If the stored text is no JSON after all.
pub fn stripped(event: &StoredEvent) -> Result<Box<RawValue>> {
    let mut out = String::with_capacity(event.content().len() + 256);
    write_stripped(&mut out, event);
    raw(event, out)
}

/// As [`stripped`], with the time at which it was sent.
///
/// # Errors
/// If the stored text is no JSON after all.
pub fn stripped_with_time(event: &StoredEvent) -> Result<Box<RawValue>> {
    let mut out = String::with_capacity(event.content().len() + 256);
    write_stripped(&mut out, event);
    out.pop();
    out.push_str(",\"origin_server_ts\":");
    push_number(&mut out, event.ts);
    out.push('}');
    raw(event, out)
}

/// Writes stripped state: for answers that are joined of many.
pub fn write_stripped(out: &mut String, event: &StoredEvent) {
    out.push_str("{\"content\":");
    out.push_str(event.content());
    out.push_str(",\"sender\":");
    out.push_str(event.sender_json());
    out.push_str(",\"state_key\":");
    out.push_str(event.state_key_json().unwrap_or("\"\""));
    out.push_str(",\"type\":");
    out.push_str(event.kind_json());
    out.push('}');
}

/// The content alone.
///
/// # Errors
/// If the stored text is no JSON after all.
pub fn content(event: &StoredEvent) -> Result<Box<RawValue>> {
    raw(event, event.content().to_owned())
}

fn raw(event: &StoredEvent, json: String) -> Result<Box<RawValue>> {
    RawValue::from_string(json).map_err(|_| Error::Inconsistent(format!("the text of event {} is no JSON", event.nr.0)))
}

/// Everything up to `unsigned`, without the closing brace.
fn write_event(out: &mut String, event: &StoredEvent, room_id: bool) {
    let redacts = if event.kind == Sym::REDACTION { Redacts::of(event) } else { Redacts::Nowhere };
    out.push_str("{\"content\":");
    match redacts {
        Redacts::TopLevel(target) => push_with(out, event.content(), target),
        Redacts::Nowhere | Redacts::Content(_) => out.push_str(event.content()),
    }
    out.push_str(",\"event_id\":");
    push_string(out, &event.id);
    out.push_str(",\"origin_server_ts\":");
    push_number(out, event.ts);
    if let Redacts::TopLevel(target) | Redacts::Content(target) = redacts {
        out.push_str(",\"redacts\":");
        out.push_str(target);
    }
    if room_id {
        out.push_str(",\"room_id\":");
        out.push_str(&event.room_id_json());
    }
    out.push_str(",\"sender\":");
    out.push_str(event.sender_json());
    if let Some(state_key) = event.state_key_json() {
        out.push_str(",\"state_key\":");
        out.push_str(state_key);
    }
    out.push_str(",\"type\":");
    out.push_str(event.kind_json());
}

/// Where a redaction keeps what it redacts: clients of every age look in the one or the other place, so both are filled.
enum Redacts<'a> {
    /// Up to room version 10.
    TopLevel(&'a str),
    /// Since room version 11.
    Content(&'a str),
    Nowhere,
}

impl<'a> Redacts<'a> {
    fn of(event: &'a StoredEvent) -> Self {
        let is_text = |value: &&str| value.starts_with('"');
        match (event.content_value("redacts").filter(is_text), event.redacts_json().filter(is_text)) {
            (Some(target), _) => Self::Content(target),
            (None, Some(target)) if event.content_value("redacts").is_none() => Self::TopLevel(target),
            _ => Self::Nowhere,
        }
    }
}

/// `content` with the key `redacts` put in.
fn push_with(out: &mut String, content: &str, redacts: &str) {
    let Some(body) = content.strip_suffix('}') else { return out.push_str(content) };
    out.push_str(body);
    if body.trim_end().len() > 1 {
        out.push(',');
    }
    out.push_str("\"redacts\":");
    out.push_str(redacts);
    out.push('}');
}

fn push_number(out: &mut String, number: i64) {
    // Writing to a string can't fail.
    let _ = write!(out, "{number}");
}

/// Writes `text` as a JSON string.
pub fn push_string(out: &mut String, text: &str) {
    if text.bytes().all(|b| b >= 0x20 && b != b'"' && b != b'\\') {
        out.push('"');
        out.push_str(text);
        out.push('"');
    } else {
        out.push_str(&serde_json::Value::from(text).to_string());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{super::stored::tests::stored, *};
    use crate::storage::DeviceNr;

    const VIEW: View = View { device: Some(DeviceNr(5)), now: 1500, room_id: true, previous: true };

    fn rendered(event: &StoredEvent, view: &View, beside: &[StoredEvent]) -> Value {
        let referred = beside.iter().map(|e| (e.nr, Arc::new(stored(e.nr.0, e.kind, e.state_key, &e.json)))).collect();
        let beside = Beside { referred, ..Beside::default() };
        serde_json::from_str(client_event(event, Some(Membership::Join), view, &beside).unwrap().get()).unwrap()
    }

    fn message(nr: i64) -> StoredEvent {
        let json = r#"{"auth_events":[],"content":{"body":"\u0000\"hi\""},"depth":4,"hashes":{"sha256":"x"},"origin_server_ts":500,"prev_events":[],"room_id":"!r:s","sender":"@u:s","signatures":{},"type":"m.room.message"}"#;
        stored(nr, Sym(17), None, json)
    }

    #[test]
    fn a_message_has_what_the_specification_lists_and_nothing_of_federation() {
        assert_eq!(
            rendered(&message(1), &VIEW, &[]),
            json!({"content": {"body": "\0\"hi\""}, "event_id": "$e1", "origin_server_ts": 500, "room_id": "!r:s",
                "sender": "@u:s", "type": "m.room.message", "unsigned": {"age": 1000, "membership": "join"}})
        );
        let sync = rendered(&message(1), &View { room_id: false, now: 3, ..VIEW }, &[]);
        assert_eq!((sync.get("room_id"), &sync["unsigned"]["age"]), (None, &json!(0)));
    }

    #[test]
    fn only_the_sending_device_sees_its_transaction() {
        let mut event = message(1);
        event.txn = Some((DeviceNr(5), "t\"1".into()));
        assert_eq!(rendered(&event, &VIEW, &[])["unsigned"]["transaction_id"], "t\"1");
        event.txn = Some((DeviceNr(6), "t".into()));
        assert_eq!(rendered(&event, &VIEW, &[])["unsigned"].get("transaction_id"), None);
    }

    #[test]
    fn a_state_event_tells_what_it_replaced_and_a_redacted_one_by_what() {
        let old = stored(
            1,
            Sym::NAME,
            Some(Sym::EMPTY),
            r#"{"content":{"name":"old"},"sender":"@o:s","state_key":"","type":"m.room.name"}"#,
        );
        let json = r#"{"content":{},"room_id":"!r:s","sender":"@u:s","state_key":"","type":"m.room.name"}"#;
        let mut new = stored(2, Sym::NAME, Some(Sym::EMPTY), json);
        new.replaces = Some(EventNr(1));
        new.redacted_by = Some(EventNr(3));
        let redaction = stored(
            3,
            Sym::REDACTION,
            None,
            r#"{"content":{"redacts":"$e2"},"room_id":"!r:s","sender":"@u:s","type":"m.room.redaction"}"#,
        );
        let shown = rendered(&new, &VIEW, &[old, redaction]);
        assert_eq!(shown["state_key"], "");
        assert_eq!(shown["unsigned"]["prev_content"], json!({"name": "old"}));
        assert_eq!(shown["unsigned"]["prev_sender"], "@o:s");
        assert_eq!(shown["unsigned"]["replaces_state"], "$e1");
        assert_eq!(shown["unsigned"]["redacted_by"], "$e3");
        assert_eq!(shown["unsigned"]["redacted_because"]["event_id"], "$e3");
        assert_eq!(shown["unsigned"]["redacted_because"]["redacts"], "$e2");
    }

    #[test]
    fn what_is_redacted_stands_in_both_places_whatever_the_room_version() {
        for json in [
            r#"{"content":{"reason":"r"},"redacts":"$x","room_id":"!r:s","sender":"@u:s","type":"m.room.redaction"}"#,
            r#"{"content":{"reason":"r","redacts":"$x"},"room_id":"!r:s","sender":"@u:s","type":"m.room.redaction"}"#,
        ] {
            let shown = rendered(&stored(1, Sym::REDACTION, None, json), &VIEW, &[]);
            assert_eq!(
                (&shown["redacts"], &shown["content"]),
                (&json!("$x"), &json!({"reason": "r", "redacts": "$x"}))
            );
        }
        let bare = r#"{"content":{},"redacts":"$x","room_id":"!r:s","sender":"@u:s","type":"m.room.redaction"}"#;
        assert_eq!(rendered(&stored(1, Sym::REDACTION, None, bare), &VIEW, &[])["content"], json!({"redacts": "$x"}));
        let redacted = r#"{"content":{},"room_id":"!r:s","sender":"@u:s","type":"m.room.redaction"}"#;
        assert_eq!(rendered(&stored(1, Sym::REDACTION, None, redacted), &VIEW, &[]).get("redacts"), None);
    }

    #[test]
    fn stripped_state_has_four_keys() {
        let name = stored(
            1,
            Sym::NAME,
            Some(Sym::EMPTY),
            r#"{"content":{"name":"n"},"depth":1,"sender":"@o:s","state_key":"","type":"m.room.name"}"#,
        );
        let shown: Value = serde_json::from_str(stripped(&name).unwrap().get()).unwrap();
        assert_eq!(shown, json!({"content": {"name": "n"}, "sender": "@o:s", "state_key": "", "type": "m.room.name"}));
    }
}
