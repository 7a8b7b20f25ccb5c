//! The answer as JSON: joined from the stored events' own text.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use super::{
    Sync, Token, account_data,
    device_lists::DeviceLists,
    ephemeral,
    reader::{Reader, StateAfter},
    stripped::Outside,
    timeline::Shape,
};
use crate::{
    clock::now_ms,
    keys::KeyCounts,
    rooms::{
        Room, StoredEvent,
        render::{Beside, Shown, View, push_string, write_client_event, write_stripped},
        unread::{Count, Unread},
    },
    storage::{
        Membership, Result, RoomNr, Sym, UserNr,
        sync::{AccountData, Receipt, Summary},
    },
};

/// A joined or left room's part.
pub(super) struct Part {
    pub room: Arc<Room>,
    pub left: bool,
    /// The room is told of even where nothing else is to tell.
    pub always: bool,
    /// With heroes where the room has no name.
    pub summary: Option<(Arc<Summary>, Option<Vec<UserNr>>)>,
    pub state: Vec<Arc<StoredEvent>>,
    pub shape: Shape,
    /// Whole events, as JSON.
    pub ephemeral: Vec<String>,
    pub account_data: Vec<AccountData>,
    /// How much is unread, of a joined room.
    pub unread: Option<Unread>,
}

/// Everything that one sync tells.
pub(super) struct Answer {
    pub next: Token,
    pub join: Vec<Part>,
    pub leave: Vec<Part>,
    pub invite: Vec<Outside>,
    pub knock: Vec<Outside>,
    pub account_data: Vec<AccountData>,
    /// Whole events, as JSON.
    pub to_device: Vec<String>,
    /// Whole events, as JSON.
    pub presence: Vec<String>,
    /// Nothing in it that a long-poll would wait for.
    pub only_own_presence: bool,
    pub device_lists: DeviceLists,
    pub key_counts: Arc<KeyCounts>,
}

impl Answer {
    pub fn is_empty(&self) -> bool {
        self.join.is_empty()
            && self.leave.is_empty()
            && self.invite.is_empty()
            && self.knock.is_empty()
            && self.account_data.is_empty()
            && self.to_device.is_empty()
            && (self.presence.is_empty() || self.only_own_presence)
            && self.device_lists.is_empty()
    }
}

impl Part {
    fn is_empty(&self) -> bool {
        self.state.is_empty()
            && self.shape.shown.is_empty()
            && self.ephemeral.is_empty()
            && self.account_data.is_empty()
            && !self.always
    }
}

impl Sync {
    /// Puts the rooms' parts into the answer, each with its ephemeral events and account data.
    #[expect(clippy::too_many_arguments, reason = "each is a section of the answer")]
    pub(super) async fn fill(
        &self,
        answer: &mut Answer,
        reader: &Reader,
        parts: Vec<Part>,
        mut account_data: HashMap<RoomNr, Vec<AccountData>>,
        mut receipts: HashMap<RoomNr, Vec<Receipt>>,
        mut typing: HashMap<RoomNr, Vec<UserNr>>,
        incremental: bool,
    ) -> Result<()> {
        let users: BTreeSet<Sym> =
            receipts.values().flatten().map(|r| r.user).chain(typing.values().flatten().copied()).collect();
        let names = self.0.rooms.interner().texts(&users.into_iter().collect::<Vec<_>>()).await?;
        let filter = &reader.filter;
        for mut part in parts {
            let room = part.room.nr;
            if !part.left {
                if let Some(receipts) = receipts.remove(&room).filter(|receipts| !receipts.is_empty()) {
                    part.ephemeral.extend(ephemeral::receipt_events(&receipts, &names));
                }
                if let Some(users) = typing.remove(&room)
                    && filter.ephemeral.types.takes("m.typing")
                    && filter.ephemeral.takes_room(&part.room.id)
                {
                    let names = users.iter().filter_map(|user| names.get(user)).map(|name| &**name);
                    part.ephemeral.push(ephemeral::typing_event(names));
                }
            }
            if filter.room_account_data.takes_room(&part.room.id) {
                part.account_data = account_data.remove(&room).unwrap_or_default();
                account_data::keep(&mut part.account_data, &filter.room_account_data);
            }
            if incremental && part.is_empty() {
                continue;
            }
            if part.left { &mut answer.leave } else { &mut answer.join }.push(part);
        }
        Ok(())
    }

    /// Writes the answer.
    pub(super) async fn write(&self, answer: &Answer, reader: &Reader) -> Result<String> {
        let view = View { device: Some(reader.device), now: now_ms(), room_id: false, previous: true };
        let parts = || answer.join.iter().chain(&answer.leave);
        let mut referring: Vec<&StoredEvent> = Vec::new();
        for part in parts() {
            referring.extend(part.shape.shown.iter().map(|shown| &*shown.event));
            referring.extend(part.state.iter().map(|event| &**event).filter(|event| event.redacted_by.is_some()));
        }
        let mut beside = self.0.rooms.beside(referring, &view).await?;
        // Where the timeline has no gap, the client has seen all that relates to its events, or will.
        let begun = parts().filter(|part| part.shape.limited || part.always).flat_map(|part| &part.shape.shown);
        let begun: Vec<&StoredEvent> = begun.map(|shown| &*shown.event).collect();
        if !begun.is_empty() {
            let ignored = self.ignored(reader.user).await?;
            self.0.rooms.bundle(&mut beside, begun, reader.user, &ignored).await?;
        }
        let heroes = parts().filter_map(|part| part.summary.as_ref()?.1.as_ref()).flatten();
        let lists = &answer.device_lists;
        let users: BTreeSet<Sym> = heroes.chain(&lists.changed).chain(&lists.left).copied().collect();
        let senders = if reader.filter.state.senders.takes_all() {
            Vec::new()
        } else {
            parts().flat_map(|part| part.state.iter().map(|event| event.sender)).collect()
        };
        let symbols: Vec<Sym> = users.into_iter().chain(senders).collect();
        let names = self.0.rooms.interner().texts(&symbols).await?;
        let mut writer = Writer { out: String::with_capacity(size(answer)), reader, view, beside, names };
        writer.answer(answer);
        Ok(writer.out)
    }
}

/// The answer of a poll that ends without news.
pub(super) fn nothing(next: &Token, counts: &KeyCounts) -> String {
    let mut out = String::with_capacity(256);
    out.push_str("{\"next_batch\":\"");
    out.push_str(&next.to_string());
    out.push('"');
    push_key_counts(&mut out, counts);
    out.push('}');
    out
}

/// About how long it will be.
fn size(answer: &Answer) -> usize {
    let event = |event: &StoredEvent| event.content().len() + 400;
    let part = |part: &Part| {
        let timeline: usize = part.shape.shown.iter().map(|shown| event(&shown.event)).sum();
        let state: usize = part.state.iter().map(|e| event(e)).sum();
        let ephemeral: usize = part.ephemeral.iter().map(String::len).sum();
        timeline + state + ephemeral + 400
    };
    let parts: usize = answer.join.iter().chain(&answer.leave).map(part).sum();
    parts + answer.to_device.iter().chain(&answer.presence).map(String::len).sum::<usize>() + 1024
}

struct Writer<'a> {
    out: String,
    reader: &'a Reader,
    view: View,
    beside: Beside,
    names: HashMap<Sym, Arc<str>>,
}

impl Writer<'_> {
    fn answer(&mut self, answer: &Answer) {
        self.out.push_str("{\"next_batch\":\"");
        self.out.push_str(&answer.next.to_string());
        self.out.push('"');
        if !answer.account_data.is_empty() {
            self.out.push_str(",\"account_data\":");
            self.account_data(&answer.account_data);
        }
        if !answer.to_device.is_empty() {
            self.out.push_str(",\"to_device\":{\"events\":");
            self.list(&answer.to_device, |w, event| w.out.push_str(event));
            self.out.push('}');
        }
        if !answer.presence.is_empty() {
            self.out.push_str(",\"presence\":{\"events\":");
            self.list(&answer.presence, |w, event| w.out.push_str(event));
            self.out.push('}');
        }
        if !answer.device_lists.is_empty() {
            self.out.push_str(",\"device_lists\":");
            push_device_lists(&mut self.out, &answer.device_lists, &self.names);
        }
        push_key_counts(&mut self.out, &answer.key_counts);
        self.rooms(answer);
        self.out.push('}');
    }

    fn rooms(&mut self, answer: &Answer) {
        let mut first = true;
        let mut section = |w: &mut Self, name: &str, empty: bool, write: &dyn Fn(&mut Self)| {
            if !empty {
                w.out.push_str(if first { ",\"rooms\":{" } else { "," });
                first = false;
                push_string(&mut w.out, name);
                w.out.push_str(":{");
                write(w);
                w.out.push('}');
            }
        };
        section(self, "join", answer.join.is_empty(), &|w| w.parts(&answer.join));
        section(self, "invite", answer.invite.is_empty(), &|w| w.outside(&answer.invite, "invite_state"));
        section(self, "knock", answer.knock.is_empty(), &|w| w.outside(&answer.knock, "knock_state"));
        section(self, "leave", answer.leave.is_empty(), &|w| w.parts(&answer.leave));
        if !first {
            self.out.push('}');
        }
    }

    fn parts(&mut self, parts: &[Part]) {
        for (i, part) in parts.iter().enumerate() {
            self.out.push_str(if i > 0 { "," } else { "" });
            push_string(&mut self.out, part.room.id.as_str());
            self.out.push_str(":{\"timeline\":{\"events\":");
            self.list(&part.shape.shown, Self::shown);
            self.out.push_str(if part.shape.limited { ",\"limited\":true" } else { ",\"limited\":false" });
            self.out.push_str(",\"prev_batch\":\"");
            self.out.push_str(&part.shape.prev_batch.to_string());
            self.out.push_str(match self.reader.state_after {
                StateAfter::No => "\"},\"state\":{\"events\":",
                StateAfter::Stable => "\"},\"state_after\":{\"events\":",
                StateAfter::Unstable => "\"},\"org.matrix.msc4222.state_after\":{\"events\":",
            });
            self.state(part);
            self.out.push('}');
            if !part.left {
                self.out.push_str(",\"ephemeral\":{\"events\":");
                self.list(&part.ephemeral, |w, event| w.out.push_str(event));
                self.out.push('}');
            }
            self.out.push_str(",\"account_data\":");
            self.account_data(&part.account_data);
            if let Some((summary, heroes)) = &part.summary {
                self.summary(summary, heroes.as_deref());
            }
            if let Some(unread) = &part.unread {
                self.unread(unread);
            }
            self.out.push('}');
        }
    }

    /// Threads have counts of their own where the client asks for them; otherwise they count to the room.
    fn unread(&mut self, unread: &Unread) {
        let by_thread = self.reader.filter.thread_counts;
        self.out.push_str(",\"unread_notifications\":");
        self.count(if by_thread { unread.main } else { unread.total() });
        if by_thread && !unread.threads.is_empty() {
            self.out.push_str(",\"unread_thread_notifications\":{");
            for (i, (root, count)) in unread.threads.iter().enumerate() {
                self.out.push_str(if i > 0 { "," } else { "" });
                push_string(&mut self.out, root);
                self.out.push(':');
                self.count(*count);
            }
            self.out.push('}');
        }
    }

    fn count(&mut self, count: Count) {
        self.out.push_str("{\"notification_count\":");
        self.out.push_str(&count.notify.to_string());
        self.out.push_str(",\"highlight_count\":");
        self.out.push_str(&count.highlight.to_string());
        self.out.push('}');
    }

    fn summary(&mut self, summary: &Summary, heroes: Option<&[UserNr]>) {
        self.out.push_str(",\"summary\":{");
        if let Some(heroes) = heroes {
            self.out.push_str("\"m.heroes\":");
            self.list(heroes, |w, user| w.name(*user));
            self.out.push(',');
        }
        self.out.push_str("\"m.joined_member_count\":");
        self.out.push_str(&summary.joined.to_string());
        self.out.push_str(",\"m.invited_member_count\":");
        self.out.push_str(&summary.invited.to_string());
        self.out.push('}');
    }

    fn state(&mut self, part: &Part) {
        let filter = &self.reader.filter.state;
        let taken = |event: &&Arc<StoredEvent>| {
            filter.senders.takes_all()
                || self
                    .names
                    .get(&event.sender)
                    .and_then(|sender| <&ruma::UserId>::try_from(&**sender).ok())
                    .is_some_and(|sender| filter.senders.takes(sender))
        };
        let with_url =
            |event: &&Arc<StoredEvent>| filter.url.is_none_or(|url| event.content_value("url").is_some() == url);
        let events: Vec<Arc<StoredEvent>> = part.state.iter().filter(taken).filter(with_url).cloned().collect();
        self.list(&events, |w, event| {
            let view = View { previous: false, ..w.view };
            w.event(event, None, &view);
        });
    }

    fn shown(&mut self, shown: &Shown) {
        let view = self.view;
        self.event(&shown.event, shown.membership, &view);
    }

    fn event(&mut self, event: &StoredEvent, membership: Option<Membership>, view: &View) {
        let filter = &self.reader.filter;
        if filter.federation_format {
            return self.out.push_str(&event.json);
        }
        let Some(fields) = &filter.fields else {
            return write_client_event(&mut self.out, event, membership, view, &self.beside);
        };
        let mut whole = String::new();
        write_client_event(&mut whole, event, membership, view, &self.beside);
        self.out.push_str(&only_fields(&whole, fields));
    }

    fn outside(&mut self, rooms: &[Outside], name: &str) {
        for (i, outside) in rooms.iter().enumerate() {
            self.out.push_str(if i > 0 { "," } else { "" });
            push_string(&mut self.out, outside.room.id.as_str());
            self.out.push_str(":{");
            push_string(&mut self.out, name);
            self.out.push_str(":{\"events\":");
            self.list(&outside.state, |w, event| write_stripped(&mut w.out, event));
            self.out.push_str("}}");
        }
    }

    fn account_data(&mut self, notes: &[AccountData]) {
        self.out.push_str("{\"events\":");
        push_account_data(&mut self.out, notes);
        self.out.push('}');
    }

    fn name(&mut self, user: UserNr) {
        let name = self.names.get(&user).map_or("", |name| name);
        push_string(&mut self.out, name);
    }

    fn list<T>(&mut self, items: &[T], write: impl Fn(&mut Self, &T)) {
        self.out.push('[');
        for (i, item) in items.iter().enumerate() {
            self.out.push_str(if i > 0 { "," } else { "" });
            write(self, item);
        }
        self.out.push(']');
    }
}

/// Writes account data as a list of events.
pub(super) fn push_account_data(out: &mut String, notes: &[AccountData]) {
    push_list(out, notes, |out, note| {
        out.push_str("{\"content\":");
        out.push_str(&note.json);
        out.push_str(",\"type\":");
        push_string(out, &note.kind);
        out.push('}');
    });
}

/// Writes device lists as an object.
pub(super) fn push_device_lists(out: &mut String, lists: &DeviceLists, names: &HashMap<Sym, Arc<str>>) {
    let name = |out: &mut String, user: &UserNr| push_string(out, names.get(user).map_or("", |name| name));
    out.push_str("{\"changed\":");
    push_list(out, &lists.changed, name);
    out.push_str(",\"left\":");
    push_list(out, &lists.left, name);
    out.push('}');
}

/// Writes a JSON list.
pub(super) fn push_list<T>(out: &mut String, items: &[T], write: impl Fn(&mut String, &T)) {
    out.push('[');
    for (i, item) in items.iter().enumerate() {
        out.push_str(if i > 0 { "," } else { "" });
        write(out, item);
    }
    out.push(']');
}

/// Writes what is left of one-time keys, as further keys of an object.
pub(super) fn push_key_counts(out: &mut String, counts: &KeyCounts) {
    out.push_str(",\"device_one_time_keys_count\":{");
    for (i, (algorithm, count)) in counts.one_time.iter().enumerate() {
        out.push_str(if i > 0 { "," } else { "" });
        push_string(out, algorithm);
        out.push(':');
        out.push_str(&count.to_string());
    }
    out.push('}');
    for name in
        [",\"device_unused_fallback_key_types\":[", ",\"org.matrix.msc2732.device_unused_fallback_key_types\":["]
    {
        out.push_str(name);
        for (i, algorithm) in counts.unused_fallback.iter().enumerate() {
            out.push_str(if i > 0 { "," } else { "" });
            push_string(out, algorithm);
        }
        out.push(']');
    }
}

/// The event with nothing but the wanted fields; what names it is always there.
fn only_fields(json: &str, fields: &[Vec<String>]) -> String {
    use serde_json::{Map, Value};

    fn copy(from: &Map<String, Value>, to: &mut Map<String, Value>, path: &[String]) {
        let Some((name, rest)) = path.split_first() else { return };
        match from.get(name) {
            Some(value) if rest.is_empty() => drop(to.insert(name.clone(), value.clone())),
            Some(Value::Object(inner)) => {
                let entry = to.entry(name.clone()).or_insert_with(|| Value::Object(Map::new()));
                if let Value::Object(kept) = entry {
                    copy(inner, kept, rest);
                }
            }
            _ => {}
        }
    }

    let Ok(whole) = serde_json::from_str::<Map<String, Value>>(json) else { return json.to_owned() };
    let mut kept = Map::new();
    for path in fields {
        copy(&whole, &mut kept, path);
    }
    for name in ["event_id", "type", "sender", "origin_server_ts", "state_key"] {
        copy(&whole, &mut kept, &[name.to_owned()]);
    }
    Value::Object(kept).to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::storage::Pos;

    #[test]
    fn a_poll_without_news_tells_of_keys() {
        let counts = KeyCounts {
            one_time: [("signed_curve25519".to_owned(), 3)].into(),
            unused_fallback: vec!["signed_curve25519".to_owned()],
        };
        let token = Token { generation: 1, pos: Pos(5), ..Token::default() };
        let shown: Value = serde_json::from_str(&nothing(&token, &counts)).unwrap();
        assert_eq!(
            shown,
            json!({
                "next_batch": "s1_5_0_0_0",
                "device_one_time_keys_count": {"signed_curve25519": 3},
                "device_unused_fallback_key_types": ["signed_curve25519"],
                "org.matrix.msc2732.device_unused_fallback_key_types": ["signed_curve25519"]
            })
        );
    }

    #[test]
    fn only_wanted_fields_are_kept() {
        let event =
            json!({"type": "m.x", "sender": "@a:s", "event_id": "$1", "content": {"a": {"b": 1, "c": 2}, "d": 3}});
        let path = |text: &str| text.split('.').map(str::to_owned).collect();
        let kept = only_fields(&event.to_string(), &[path("content.a.b"), path("content.x"), path("type.y")]);
        let kept: Value = serde_json::from_str(&kept).unwrap();
        assert_eq!(kept, json!({"type": "m.x", "sender": "@a:s", "event_id": "$1", "content": {"a": {"b": 1}}}));
    }
}
